package node

import (
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"securepeer/crypto"
	"securepeer/wire"
)

// everyMessage is one of each type; request says that it begins something on a
// transfer link.
var everyMessage = map[wire.Type]struct {
	msg     wire.Message
	on      wire.Carrier
	signed  bool // there is something in it that others have signed
	request bool
}{
	wire.TypeRows:       {wire.Rows{}, wire.OnRing, true, false},
	wire.TypeFind:       {wire.Find{For: wire.ForJoin}, wire.OnRing, false, false},
	wire.TypeAsk:        {wire.Ask{}, wire.OnRing, false, false},
	wire.TypeHere:       {wire.Here{}, wire.OnRing, false, false},
	wire.TypeRefuse:     {wire.Refuse{Code: wire.CodeBusy}, wire.OnRing, false, false},
	wire.TypeLook:       {wire.Look{Name: "f"}, wire.OnRing, false, false},
	wire.TypeFound:      {wire.Found{}, wire.OnRing, true, false},
	wire.TypeOffer:      {wire.Offer{}, wire.OnRing, true, false},
	wire.TypeConfirmed:  {wire.Confirmed{}, wire.OnRing, false, false},
	wire.TypeSettled:    {wire.Settled{}, wire.OnRing, false, false},
	wire.TypeList:       {wire.List{}, wire.OnRing, false, false},
	wire.TypeListed:     {wire.Listed{}, wire.OnRing, true, false},
	wire.TypeBuckets:    {wire.Buckets{}, wire.OnRing, false, false},
	wire.TypePingReq:    {wire.PingReq{}, wire.OnRing, false, false},
	wire.TypePingReqAck: {wire.PingReqAck{}, wire.OnRing, false, false},

	wire.TypePut:       {wire.Put{Name: "f"}, wire.OnTransfer, false, true},
	wire.TypePutMore:   {wire.PutMore{}, wire.OnTransfer, false, false},
	wire.TypePutEnd:    {wire.PutEnd{}, wire.OnTransfer, true, false},
	wire.TypePutAck:    {wire.PutAck{}, wire.OnTransfer, true, false},
	wire.TypeBlocks:    {wire.Blocks{}, wire.OnTransfer, false, true},
	wire.TypeBlockList: {wire.BlockList{}, wire.OnTransfer, false, false},
	wire.TypeGet:       {wire.Get{}, wire.OnTransfer, false, true},
	wire.TypeFail:      {wire.Fail{Code: wire.CodeBusy}, wire.OnTransfer, false, false},
	wire.TypeProgress:  {wire.Progress{}, wire.OnTransfer, false, false},
}

// forge puts what nobody has signed in each place of v where a signed thing may
// be, and reports whether there is one.
func forge(v reflect.Value) (forged bool) {
	manifest := wire.Manifest{Name: "f", Version: 1, Writer: 1, Signer: 1, Size: 1, Blocks: wire.Sum{1}}
	for _, bad := range []any{wire.Row{ID: 1, Incarnation: 9, State: wire.Active}, wire.Vote{Observer: 1, Member: 0, Verdict: wire.Gone}, manifest} {
		switch b := reflect.ValueOf(bad); v.Type() {
		case b.Type():
			v.Set(b)
			return true
		case reflect.SliceOf(b.Type()):
			v.Set(reflect.Append(v, b))
			return true
		}
	}
	if v.Kind() == reflect.Struct {
		for i := range v.NumField() {
			forged = forge(v.Field(i)) || forged
		}
	}
	return forged
}

// TestEachMessageIsVerified: of all 256 types each has its link and what is to be
// verified in it, or is refused: by the parser, by the register of carriers, and by
// the verifier. Where anything signed can be in a message, what is forged does not
// come out of the verifier.
func TestEachMessageIsVerified(t *testing.T) {
	b, _ := crowd(t, 2)
	v := newVerifier()
	for typ := range 256 {
		typ := wire.Type(typ)
		is, ok := everyMessage[typ]
		if _, err := wire.Parse(typ, nil); !ok && (err == nil || typ.Carrier() != 0) {
			t.Errorf("%v is parsed, or has link %d, and is not in this test's table", typ, typ.Carrier())
		}
		if !ok {
			continue
		}
		if typ.Carrier() != is.on || is.msg.Type() != typ {
			t.Errorf("%v belongs on %d, want %d", typ, typ.Carrier(), is.on)
		}
		got, wrong := v.message(b, is.msg, nil)
		if is.on == wire.OnTransfer {
			if got != nil || wrong != errNotHere {
				t.Errorf("%v passes as a ring message: %v, %v", typ, got, wrong)
			}
		} else if empty := typ == wire.TypeOffer; !empty && (wrong != nil || !reflect.DeepEqual(got, is.msg)) {
			t.Errorf("%v with nothing wrong in it: %v, %v", typ, got, wrong)
		}
		bad := reflect.New(reflect.TypeOf(is.msg)).Elem()
		bad.Set(reflect.ValueOf(is.msg))
		if forged := forge(bad); forged != is.signed {
			t.Errorf("%v has signed things in it: %v, want %v", typ, forged, is.signed)
		} else if forged && is.on == wire.OnRing {
			got, wrong := v.message(b, bad.Interface().(wire.Message), nil)
			if wrong != errSignature || got != nil && len(got.Append(nil)) != len(is.msg.Append(nil)) {
				t.Errorf("%v: what is forged passes: %v, %v", typ, got, wrong)
			}
		}
	}
	if got, wrong := v.message(b, stranger{}, nil); got != nil || wrong != errNotHere {
		t.Errorf("a message that no rule names: %v, %v", got, wrong)
	}
}

// stranger is a message of a type that was added, and forgotten elsewhere.
type stranger struct{ wire.Rows }

// TestMessagesOnTheWrongLink: each type that does not belong on a link ends it, and
// is counted; each that does, does not.
func TestMessagesOnTheWrongLink(t *testing.T) {
	inBubble(t, 2, 1, "copies=1", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		s := b.speaker(1)
		for typ := wire.Type(16); typ != 0; typ++ { // those below are the link's own
			is, known := everyMessage[typ]
			if known && is.signed && (typ == wire.TypeOffer || typ == wire.TypePutEnd) {
				m := claim(s.secret, wire.Manifest{Name: "f", Version: 1, Writer: 1, Signer: 1, Flags: wire.Tombstone})
				is.msg = map[wire.Type]wire.Message{wire.TypeOffer: wire.Offer{Manifest: m}, wire.TypePutEnd: wire.PutEnd{Manifest: m}}[typ]
			}
			var body []byte
			if known {
				body = is.msg.Append(nil)
			}
			for kind, right := range map[crypto.Kind]bool{crypto.Ring: is.on == wire.OnRing, crypto.Transfer: is.request} {
				c := s.dialSilently(kind)
				before := refusedOf(t, n, "n1")
				gone := make(chan struct{})
				go func() { // ends with the link
					defer close(gone)
					for err := error(nil); err == nil; {
						_, _, err = c.ReadRecord()
					}
				}()
				if err := c.WriteRecord(byte(typ), body); err != nil {
					t.Fatal(err)
				}
				synctest.Wait()
				ended := false
				select {
				case <-gone:
					ended = true
				default:
				}
				if ended == right || !right && refusedOf(t, n, "n1") != before+1 {
					t.Errorf("%v on a link of kind %d, where it belongs: %v: ended %v, %d more were refused", typ, kind, right, ended, refusedOf(t, n, "n1")-before)
				}
				c.Close()
				<-gone
				time.Sleep(time.Second) // of the bubble: its place is free again
			}
		}
	})
}
