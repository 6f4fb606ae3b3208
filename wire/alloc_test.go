package wire

import (
	"runtime"
	"testing"
)

// TestAllocations bounds how often each call allocates.
func TestAllocations(t *testing.T) {
	buf := make([]byte, 0, MaxBody)
	check := func(name string, most float64, f func()) {
		t.Helper()
		if got := testing.AllocsPerRun(100, f); got > most {
			t.Errorf("%s allocates %v times, at most %v", name, got, most)
		}
	}
	// One for the value in the Message, one for each list and each text.
	parts := map[string]float64{
		"Rows": 2, "Find": 1, "Look": 1, "Found": 2, "Offer": 1, "List": 1, "Listed": 2,
		"Put": 2, "PutEnd": 1, "PutAck": 1, "BlockList": 1,
	}
	for _, row := range messages {
		body := unhex(t, row.hex)
		check(row.name+" Append", 0, func() { row.message.Append(buf) })
		check(row.name+" Parse", 1+parts[row.name], func() { _, _ = Parse(row.typ, body) })
	}
	ping, manifest := samplePing.Append(nil), sampleManifest.Append(nil)
	check("Ping.Append", 0, func() { samplePing.Append(buf) })
	check("ParsePing", 0, func() { _, _ = ParsePing(ping) })
	check("ParseManifest", 1, func() { _, _ = ParseManifest(manifest) })
	check("Row.SignedBytes", 0, func() { sampleRow.SignedBytes("attic", buf) })
	check("Vote.SignedBytes", 0, func() { sampleVote.SignedBytes("attic", buf) })
	check("Manifest.SignedBytes", 0, func() { sampleManifest.SignedBytes("attic", buf) })
	check("Manifest.Sum", 0, func() { sampleManifest.Sum() })
	check("Manifest.Newer", 0, func() { sampleManifest.Newer(sampleManifest) })
}

// TestParseAllocatesNoMoreThanItWasGiven: a count costs its sender as many
// bytes as it costs us, give or take what a value takes more than its
// encoding, and the error.
func TestParseAllocatesNoMoreThanItWasGiven(t *testing.T) {
	bodies := seeds(t)
	for _, m := range largest() {
		bodies = append(bodies, sample{m.Type().String(), m.Type(), messageParser(m.Type()), m.Append(nil), true})
	}
	for _, s := range listLimits() { // the same claims with fewer items behind them
		for _, part := range []int{2, 8, 16, 64} {
			bodies = append(bodies, sample{s.name + ", cut", s.typ, s.parser, s.body[:len(s.body)/part], false})
		}
	}
	const runs = 20
	for _, s := range bodies {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		for range runs {
			_, _, _ = s.parser.parse(s.body)
		}
		runtime.ReadMemStats(&after)
		got := (after.TotalAlloc - before.TotalAlloc) / runs
		if most := uint64(len(s.body))*5/4 + 1024; got > most {
			t.Errorf("%s of %d bytes: parsing allocates %d bytes, at most %d", s.name, len(s.body), got, most)
		}
	}
}
