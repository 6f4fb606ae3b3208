package crypto

import (
	"bytes"
	"testing"
)

func sealRecord(t testing.TB, s *sealer, typ byte, body string) []byte {
	t.Helper()
	record := make([]byte, recordOverhead+len(body))
	record[recordHeader] = typ
	copy(record[recordHeader+1:], body)
	if err := s.seal(record); err != nil {
		t.Fatal(err)
	}
	return record
}

// recordPair is the two ends of one direction.
func recordPair(t testing.TB, aead string) (*sealer, *opener) {
	t.Helper()
	key := [32]byte{1}
	s, err := newSealer(aead, &key)
	if err != nil {
		t.Fatal(err)
	}
	o, err := newOpener(aead, &key)
	if err != nil {
		t.Fatal(err)
	}
	return s, o
}

var bothAEADs = []string{nameAES, nameChaCha}

func TestRecordSizes(t *testing.T) {
	if MaxBody != 65518 || maxRecord != 2+65535 {
		t.Fatalf("MaxBody %d, record %d", MaxBody, maxRecord)
	}
	for _, aead := range bothAEADs {
		s, o := recordPair(t, aead)
		for _, size := range []int{0, 1, 15, 16, 17, 1000, MaxBody - 1, MaxBody} {
			want := bytes.Repeat([]byte{byte(size)}, size)
			record := sealRecord(t, s, 200, string(want))
			if got := recordSize(record); got != len(record) {
				t.Fatalf("%s: size %d, want %d", aead, got, len(record))
			}
			typ, body, err := o.open(record)
			if typ != 200 || err != nil || !bytes.Equal(body, want) {
				t.Fatalf("%s: body of %d bytes: type %d, %v", aead, size, typ, err)
			}
		}
	}
}

// TestRecordsOutOfPlace: a record opens once, in its place, in its direction.
func TestRecordsOutOfPlace(t *testing.T) {
	f := shakeHands(t, CapAES, CapAES)
	first := sealRecord(t, f.dialler.send, 16, "first")
	second := sealRecord(t, f.dialler.send, 16, "second")
	fails := func(name string, o *opener, record []byte) {
		t.Helper()
		if _, _, err := o.open(bytes.Clone(record)); err == nil {
			t.Errorf("%s was accepted", name)
		}
	}
	fails("a record reflected to its sender", f.dialler.recv, first)
	fails("a record before its turn", f.answerer.recv, second)
	if _, _, err := f.answerer.recv.open(bytes.Clone(first)); err != nil {
		t.Fatal(err)
	}
	fails("a record replayed", f.answerer.recv, first)
	other := shakeHands(t, CapAES, CapAES)
	fails("a record of another session", other.answerer.recv, first)

	ping := f.dialler.ping.seal(nil, new([PingBodySize]byte))
	fails("a ping as a record", f.answerer.recv, ping)
	asRecord := append([]byte{0, byte(len(ping) - pingHeader)}, ping[pingHeader:]...)
	fails("a ping's body as a record", f.answerer.recv, asRecord)
	record := sealRecord(t, f.dialler.send, FirstMessage, string(make([]byte, DatagramSize-recordOverhead)))
	if _, ok := f.answerer.ping.open(bytes.Clone(record)); ok {
		t.Error("a record as a ping was accepted")
	}
	if _, ok := f.answerer.ping.open(append(make([]byte, pingHeader), record[recordHeader:]...)); ok {
		t.Error("a record's body as a ping was accepted")
	}
	if _, ok := f.answerer.ping.open(bytes.Clone(ping)); !ok {
		t.Error("the ping itself did not open")
	}
}

func TestOpenRefusesImpossibleLengths(t *testing.T) {
	for _, record := range [][]byte{nil, {0}, {0, 0}, {0, 16}, append([]byte{0, 16}, make([]byte, 16)...), append([]byte{0, 18}, make([]byte, 17)...)} {
		_, o := recordPair(t, nameAES)
		if _, _, err := o.open(record); err != errRecordSize {
			t.Errorf("open(%x): %v, want %v", record, err, errRecordSize)
		}
	}
}

func TestRecordsStopAt2To32(t *testing.T) {
	for _, aead := range bothAEADs {
		s, o := recordPair(t, aead)
		s.counter, o.counter = 1<<32-1, 1<<32-1
		if _, _, err := o.open(sealRecord(t, s, 16, "last")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := s.seal(make([]byte, recordOverhead)); err != errCounter {
				t.Errorf("%s: sealing record 2^32: %v, want %v", aead, err, errCounter)
			}
			if _, _, err := o.open(make([]byte, recordOverhead)); err != errCounter {
				t.Errorf("%s: opening record 2^32: %v, want %v", aead, err, errCounter)
			}
		}
	}
}

func TestSealAndOpenDoNotAllocate(t *testing.T) {
	for _, aead := range bothAEADs {
		s, o := recordPair(t, aead)
		record := make([]byte, recordOverhead+1000)
		if n := testing.AllocsPerRun(100, func() {
			if s.seal(record) != nil {
				t.Error("seal failed")
			}
			if _, _, err := o.open(record); err != nil {
				t.Error(err)
			}
		}); n != 0 {
			t.Errorf("%s: %v allocations for a record", aead, n)
		}
	}
}

func benchmarkRecord(b *testing.B, size int, aead string, opening bool) {
	s, o := recordPair(b, aead)
	record := make([]byte, recordOverhead+size)
	sealed := make([]byte, len(record))
	if err := s.seal(record); err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(size))
	b.ReportAllocs()
	for b.Loop() {
		var err error
		if opening {
			copy(sealed, record)
			o.counter = 0
			_, _, err = o.open(sealed)
		} else {
			err = s.seal(record)
		}
		if err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkSeal(b *testing.B) {
	for _, aead := range bothAEADs {
		b.Run(aead, func(b *testing.B) { benchmarkRecord(b, 16<<10, aead, false) })
	}
}

// BenchmarkOpen copies the record first: opening is in place.
func BenchmarkOpen(b *testing.B) {
	for _, aead := range bothAEADs {
		b.Run(aead, func(b *testing.B) { benchmarkRecord(b, 16<<10, aead, true) })
	}
}
