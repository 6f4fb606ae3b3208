package wire

import (
	"bytes"
	"encoding/hex"
	"errors"
	"reflect"
	"strings"
	"testing"
)

func unhex(t testing.TB, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestTable: every row of the table encodes to its hex and parses back to its
// value, behind bytes that were there before.
func TestTable(t *testing.T) {
	for _, row := range messages {
		want := unhex(t, row.hex)
		if got := row.message.Append([]byte("before")); !bytes.Equal(got, append([]byte("before"), want...)) {
			t.Errorf("%s: Append = %x, want %x", row.name, got[len("before"):], want)
		}
		if got := row.message.Type(); got != row.typ {
			t.Errorf("%s: Type = %v, want %v", row.name, got, row.typ)
		}
		got, err := Parse(row.typ, want)
		if err != nil || !reflect.DeepEqual(got, row.message) {
			t.Errorf("%s: Parse = %+v, %v, want %+v", row.name, got, err, row.message)
		}
	}
	for _, row := range others {
		if got := row.append(nil); !bytes.Equal(got, unhex(t, row.hex)) {
			t.Errorf("%s: %x, want %s", row.name, got, row.hex)
		}
	}
}

func TestEveryTypeIsInTheTable(t *testing.T) {
	have := map[Type]bool{}
	for _, row := range messages {
		have[row.typ] = true
		if !strings.HasPrefix(row.name, row.typ.String()) {
			t.Errorf("row %s has type %v", row.name, row.typ)
		}
	}
	for v := range 256 {
		typ := Type(v)
		_, err := Parse(typ, nil)
		known := errors.Is(err, errShort) || typ == TypePutMore
		if known != have[typ] {
			t.Errorf("%v: known %v, in the table %v", typ, known, have[typ])
		}
		if named := !strings.HasPrefix(typ.String(), "Type("); named != known {
			t.Errorf("%v: named %v, known %v", typ, named, known)
		}
	}
}

func TestPingsAndManifestsParseBack(t *testing.T) {
	for _, want := range []Ping{samplePing, sampleAck} {
		if got, err := ParsePing(want.Append(nil)); err != nil || got != want {
			t.Errorf("ParsePing = %+v, %v, want %+v", got, err, want)
		}
	}
	for _, want := range []Manifest{sampleManifest, sampleTombstone} {
		if got, err := ParseManifest(want.Append(nil)); err != nil || got != want {
			t.Errorf("ParseManifest = %+v, %v, want %+v", got, err, want)
		}
	}
}
