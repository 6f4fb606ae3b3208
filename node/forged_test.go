package node

import (
	"testing"
	"time"
)

// TestForgedAnswersAreAnswers: each answer of a home holder has a manifest with a
// false signature, which is left out. Nobody waits for it as for one that is
// silent, 3 s for a stat.
func TestForgedAnswersAreAnswers(t *testing.T) {
	inBubble(t, 3, 3, "copies=3 interval=1s", func(b *bubble) {
		put(b.t, b.nodes[0], "f", []byte("good"))
		m := fileOf(b, 0, "f", []byte("false"))
		m.Version, m.Writer, m.Signer = 9, 1, 1 // and signed by neither
		b.onDisk(b.nodes[2], 0, m, "false")
		began := time.Now()
		s, err := b.nodes[0].Stat(b.t.Context(), "f")
		if err != nil || s.Newest == nil || s.Newest.Version != 1 {
			b.t.Errorf("stat: %+v, %v", s, err)
		}
		if got, _ := get(b.t, b.nodes[0], "f"); string(got) != "good" {
			b.t.Errorf("get: %q", got)
		}
		put(b.t, b.nodes[0], "f", []byte("better"))
		if d := time.Since(began); d > 100*time.Millisecond {
			b.t.Errorf("stat, get and put took %v", d)
		}
		if refusedOf(b.t, b.nodes[0], "n2") == 0 {
			b.t.Error("nothing is counted against n2, which passes it on")
		}
	})
}
