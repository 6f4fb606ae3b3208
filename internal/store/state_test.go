package store_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
)

func TestStateComesBack(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	for _, data := range [][]byte{nil, {1}, content(1, 100_000), {2}} {
		if err := s.WriteState("incarnation", data); err != nil {
			t.Fatal(err)
		}
		if got, err := s.ReadState("incarnation"); err != nil || !bytes.Equal(got, data) {
			t.Errorf("ReadState = %d bytes, %v, want %d", len(got), err, len(data))
		}
	}
	s.Close()
	if got, err := open(t, dir).ReadState("incarnation"); err != nil || !bytes.Equal(got, []byte{2}) {
		t.Errorf("ReadState = %v, %v in the next run", got, err)
	}
}

func TestStateNames(t *testing.T) {
	s := openSim(t, simdisk.New(1))
	long := strings.Repeat("a", 64)
	for _, name := range []string{"a", "9", "saved-view", long} {
		if err := s.WriteState(name, nil); err != nil {
			t.Errorf("WriteState(%q) = %v", name, err)
		}
	}
	for _, name := range []string{"", ".", "..", "a/b", "../a", "A", "a.b", "a b", "\x00", "ä", long + "a"} {
		if err := s.WriteState(name, nil); err == nil {
			t.Errorf("WriteState(%q) gives no error", name)
		}
		if _, err := s.ReadState(name); err == nil || errors.Is(err, store.ErrNotFound) {
			t.Errorf("ReadState(%q) = %v", name, err)
		}
	}
	if err := s.WriteState("a", make([]byte, store.MaxState+1)); err == nil {
		t.Error("a state that is too large gives no error")
	}
}

// TestDamagedStateIsMissing: every length that a torn write can leave, every
// byte changed, and the file of another state.
func TestDamagedStateIsMissing(t *testing.T) {
	disk := simdisk.New(1)
	s := openSim(t, disk)
	if _, err := s.ReadState("view"); !errors.Is(err, store.ErrNotFound) || errors.Is(err, store.ErrDamaged) {
		t.Errorf("ReadState of none = %v, want ErrNotFound", err)
	}
	if err := errors.Join(s.WriteState("view", []byte("the view")), s.WriteState("other", []byte("the view"))); err != nil {
		t.Fatal(err)
	}
	var good, other []byte
	keep := func(to *[]byte) func([]byte) []byte {
		return func(b []byte) []byte { *to = bytes.Clone(b); return b }
	}
	if err := errors.Join(disk.Damage("state/view", keep(&good)), disk.Damage("state/other", keep(&other))); err != nil {
		t.Fatal(err)
	}
	damages := [][]byte{other, append(bytes.Clone(good), 0), append([]byte{0}, good...)}
	for n := range good {
		flipped := bytes.Clone(good)
		flipped[n] ^= 0x10
		damages = append(damages, good[:n], flipped)
	}
	for i, damaged := range damages {
		if err := disk.Damage("state/view", func([]byte) []byte { return damaged }); err != nil {
			t.Fatal(err)
		}
		if _, err := s.ReadState("view"); !errors.Is(err, store.ErrDamaged) || !errors.Is(err, store.ErrNotFound) {
			t.Errorf("damage %d: ReadState = %v, want ErrDamaged", i, err)
		}
	}
	if err := s.WriteState("view", []byte("new")); err != nil {
		t.Fatal(err)
	}
	if got, err := s.ReadState("view"); err != nil || string(got) != "new" {
		t.Errorf("ReadState = %q, %v after writing again", got, err)
	}
}

// TestDamagedIDIsReplaced: a bad id stops no start; the new one says that what
// was stored may be gone.
func TestDamagedIDIsReplaced(t *testing.T) {
	disk := simdisk.New(1)
	first := openSim(t, disk).ID()
	disk.PowerCut()
	if again := openSim(t, disk).ID(); again != first {
		t.Errorf("id %x after a power cut, was %x", again, first)
	}
	for name, damage := range map[string]func([]byte) []byte{
		"empty":   func([]byte) []byte { return nil },
		"flipped": func(b []byte) []byte { b[3] ^= 1; return b },
	} {
		if err := disk.Damage("store-id", damage); err != nil {
			t.Fatal(err)
		}
		disk.Kill()
		second := openSim(t, disk).ID()
		disk.PowerCut()
		if third := openSim(t, disk).ID(); second == first || third != second {
			t.Errorf("%s: ids %x, %x, %x", name, first, second, third)
		}
	}
}
