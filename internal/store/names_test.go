package store_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
)

// storeOn opens a store on a mount of disk, for one run.
func storeOn(t *testing.T, disk *simdisk.Disk) *store.Store {
	t.Helper()
	s, err := store.Open(disk.Mount(), strings.NewReader(strings.Repeat("x", 16)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func cached(t *testing.T, s *store.Store) (names []string, whole bool) {
	t.Helper()
	whole, err := s.ReadNames(func(name string) { names = append(names, name) })
	if err != nil {
		t.Fatal(err)
	}
	return names, whole
}

// TestNamesOfAnEarlierRun: those that were added come back in the next run, those
// that a cut left whole before it, and what is added then is read after them.
func TestNamesOfAnEarlierRun(t *testing.T) {
	want := []string{"a", strings.Repeat("n", store.MaxFileName), "ünï", "last"}
	length := 0
	for _, name := range want {
		length += 2 + len(name)
	}
	for _, cut := range []int{length, length - 1, length - 4, length - 5, length - 6, length - 7, 3, 2, 1, 0} {
		disk := simdisk.New(1)
		s := storeOn(t, disk)
		if names, whole := cached(t, s); len(names) > 0 || !whole {
			t.Fatalf("no cache has %q, whole %v", names, whole)
		}
		s.AddNames(slices.Values(want[:2]))
		s.AddNames(slices.Values([]string{"", strings.Repeat("x", store.MaxFileName+1)})) // no names
		s.AddNames(slices.Values(want[2:]))
		if err := disk.Damage("state/names", func(b []byte) []byte {
			if len(b) != length {
				t.Errorf("cache of %d bytes, want %d", len(b), length)
			}
			return b[:cut]
		}); err != nil {
			t.Fatal(err)
		}
		left, at := []string{}, 0
		for _, name := range want {
			if at += 2 + len(name); at <= cut {
				left = append(left, name)
			}
		}
		ends := cut == 0 || cut == 3 || cut == length || cut == length-6
		if names, whole := cached(t, s); !slices.Equal(names, left) || whole != ends {
			t.Errorf("cut at %d: %d names, whole %v; want %d, %v", cut, len(names), whole, len(left), ends)
		}
		s.AddNames(slices.Values([]string{strings.Repeat("after", 9)}))
		if names, _ := cached(t, s); !slices.Equal(names[:min(len(names), len(left)+1)], append(left, strings.Repeat("after", 9))) {
			t.Errorf("cut at %d: then %q", cut, names)
		}
		s.ReplaceNames(slices.Values(want[:1]))
		s.AddNames(slices.Values(want[3:]))
		if names, whole := cached(t, s); !slices.Equal(names, []string{"a", "last"}) || !whole {
			t.Errorf("cut at %d: replaced by %q, whole %v", cut, names, whole)
		}
		s.Close()
	}
}

// TestNamesAreWrittenInPieces: more of them than one write takes.
func TestNamesAreWrittenInPieces(t *testing.T) {
	disk := simdisk.New(1)
	var want []string
	for i := range 20_000 {
		want = append(want, fmt.Sprint("name ", i))
	}
	s := storeOn(t, disk)
	s.AddNames(slices.Values(want))
	s.Close()
	s = storeOn(t, disk)
	defer s.Close()
	if names, whole := cached(t, s); !slices.Equal(names, want) || !whole {
		t.Errorf("%d names, whole %v; want %d", len(names), whole, len(want))
	}
}
