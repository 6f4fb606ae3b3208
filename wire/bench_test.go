package wire

import "testing"

func BenchmarkPing(b *testing.B) {
	buf := make([]byte, 0, PingSize)
	b.ReportAllocs()
	for b.Loop() {
		buf = samplePing.Append(buf[:0])
		if _, err := ParsePing(buf); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkMessages appends and parses each message at its limits.
func BenchmarkMessages(b *testing.B) {
	for _, m := range largest() {
		b.Run(m.Type().String(), func(b *testing.B) {
			buf := m.Append(nil)
			b.SetBytes(int64(len(buf)))
			b.ReportAllocs()
			for b.Loop() {
				buf = m.Append(buf[:0])
				if _, err := Parse(m.Type(), buf); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
