package node

import (
	"fmt"
	"testing"
	"time"

	"securepeer/keys"
	"securepeer/wire"
)

// crowd is the book of n members and one signed row of each.
func crowd(t testing.TB, n int) (*book, []wire.Row) {
	t.Helper()
	text := "ring r\n"
	secrets := make([]*keys.Secret, n)
	for i := range secrets {
		var err error
		if secrets[i], err = keys.Generate(); err != nil {
			t.Fatal(err)
		}
		text += fmt.Sprintf("peer %d n%d %s addr=h:%d\n", i, i, secrets[i].Public(), i+1)
	}
	roster, err := keys.ParseRoster([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBook(roster, secrets[0].Public())
	if err != nil {
		t.Fatal(err)
	}
	rows := make([]wire.Row, n)
	for i, s := range secrets {
		rows[i] = wire.Row{ID: wire.ID(i), Incarnation: 7, State: wire.Active}
		rows[i].Sig = s.Sign(rows[i].SignedBytes("r", nil))
	}
	return b, rows
}

// TestKnownRowsCostNoSignature: what was verified once is not verified when it
// comes from another, and a bad signature is never taken for a good one.
func TestKnownRowsCostNoSignature(t *testing.T) {
	b, rows := crowd(t, 20)
	v := newVerifier()
	paid := 0 // with no burst each signature waits
	pays := &account{verifier: v, member: 1, wait: func(time.Duration) { paid++ }}
	for range 3 {
		msg, err := v.message(b, wire.Rows{Rows: append([]wire.Row(nil), rows...)}, pays)
		if err != nil || len(msg.(wire.Rows).Rows) != len(rows) {
			t.Fatalf("message: %v, %v", msg, err)
		}
	}
	if paid != len(rows) {
		t.Errorf("%d signatures were verified, want %d", paid, len(rows))
	}
	for range 2 {
		bad := rows[3]
		bad.Incarnation++
		if _, err := v.message(b, wire.Rows{Rows: []wire.Row{bad}}, pays); err != errSignature {
			t.Errorf("a row with another's signature: %v, want errSignature", err)
		}
	}
	if paid != len(rows)+2 {
		t.Errorf("%d signatures were verified, want %d: what is bad is not remembered as good", paid, len(rows)+2)
	}
}

// TestAllowance: a burst at once, then one each checkEach, and a burst again
// after a rest.
func TestAllowance(t *testing.T) {
	var a allowance
	now := time.Unix(1000, 0)
	for round := range 2 {
		for i := range 100 {
			if wait := a.take(now, checkEach, 100*checkEach); wait != 0 {
				t.Fatalf("round %d: signature %d of the burst waits %v", round, i, wait)
			}
		}
		if wait := a.take(now, checkEach, 100*checkEach); wait != checkEach {
			t.Errorf("round %d: the next one waits %v, want %v", round, wait, checkEach)
		}
		now = now.Add(time.Hour)
	}
}

// BenchmarkRows is one full message, whose signatures are known, or new.
func BenchmarkRows(b *testing.B) {
	book, rows := crowd(b, wire.MaxRows)
	for _, known := range []bool{true, false} {
		b.Run(fmt.Sprintf("known=%v", known), func(b *testing.B) {
			b.ReportAllocs()
			v := newVerifier()
			for b.Loop() {
				if !known {
					v = newVerifier()
				}
				if _, err := v.message(book, wire.Rows{Rows: rows}, nil); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(len(rows)), "ns/row")
		})
	}
}
