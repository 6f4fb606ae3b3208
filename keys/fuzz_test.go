package keys

import (
	"bytes"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
)

// Bigger inputs find nothing more; the limits themselves have tests.
const maxFuzzSize = 1 << 16

func FuzzPublic(f *testing.F) {
	alice := testPublic(f, "alice")
	for _, text := range []string{
		"", "sp1", alice.String(), strings.ToUpper(alice.String()), alice.String()[:111], alice.String() + "q",
		testSecret(f, "alice").Text(), Public{}.String(), encodeBech32m("sp", nil), "A1LQFN3A", "?1v759aa",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		p, err := ParsePublic(text)
		if err != nil {
			if p != (Public{}) {
				t.Error("a key came with the error")
			}
			return
		}
		if p.String() != text {
			t.Errorf("%q is written %q", text, p)
		}
		if err := p.check(); err != nil {
			t.Errorf("parsed, but %v", err)
		}
		if _, err := testSecret(t, "bob").DH(p.Noise); err != nil {
			t.Errorf("parsed, but %v", err)
		}
	})
}

func FuzzSecret(f *testing.F) {
	secret := testSecret(f, "alice").Text()
	for _, text := range []string{
		"", "SECUREPEER-KEY-1", secret, strings.ToLower(secret), secret[:73], secret + "Q", testPublic(f, "alice").String(), "a1lqfn3a",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSecret(text)
		if err != nil {
			if s != nil {
				t.Error("a secret came with the error")
			}
			return
		}
		if s.Text() != text {
			t.Errorf("%q is written %q", text, s.Text())
		}
		if _, err := ParsePublic(s.Public().String()); err != nil {
			t.Errorf("its public key does not parse: %v", err)
		}
	})
}

func FuzzKeyFile(f *testing.F) {
	s := testSecret(f, "alice")
	whole := appendKeyFile(nil, s, testTime)
	for _, b := range [][]byte{
		nil, whole, []byte(s.Text() + "\n"), []byte("\n# a\n\t" + s.Text() + " \n\n"), whole[:len(whole)-1],
		append(whole, whole...), bytes.ReplaceAll(whole, []byte("\n"), []byte("\r\n")), append([]byte("\uFEFF"), whole...),
		[]byte(publicComment + "\n" + s.Text() + "\n"),
	} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzzSize {
			return
		}
		s, err := parseKeyFile(b)
		if err != nil {
			return
		}
		if !bytes.Contains(b, []byte(s.Text())) {
			t.Error("read a secret that is not in the file")
		}
		again, err := parseKeyFile(appendKeyFile(nil, s, testTime))
		if err != nil {
			t.Fatalf("written again: %v", err)
		}
		if again.Text() != s.Text() {
			t.Error("written again it is another secret")
		}
	})
}

func FuzzRoster(f *testing.F) {
	full := fullRoster(f)
	for _, text := range []string{
		"", "ring attic\n", ringLine, full, strings.ReplaceAll(full, "\n", "\r\n"), "\uFEFF" + full, full[:len(full)-1], full + full,
		"ring seed space=8 copies=2 observers=2 interval=1.5s grace=1h0m1s route=walk\n" + peerLine(f, 255, "alice", "") + peerLine(f, 2, "2", " drain"),
		peerLine(f, 255, "alice", " pos=0xffffffffffffffff") + "\t#\n \nring attic\n#",
		"ring attic\nadmin RWQ\npeer\npeer 1 a sp1 addr=[::1]:1\nrevoke 1 a sp1\n",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > maxFuzzSize {
			return
		}
		r, err := ParseRoster(b)
		if err != nil {
			if r != nil || err.Error() == "" {
				t.Errorf("roster %v with error %q", r, err)
			}
			return
		}
		if err := r.Validate(); err != nil {
			t.Errorf("parsed, but not valid: %v", err)
		}
		text := r.Append(nil)
		again, err := ParseRoster(text)
		if err != nil {
			t.Fatalf("written again: %v\n%s", err, text)
		}
		if !reflect.DeepEqual(r, again) {
			t.Errorf("written again: %+v, want %+v", again, r)
		}
		if second := again.Append(nil); !bytes.Equal(text, second) {
			t.Errorf("not canonical:\n%s\nthen\n%s", text, second)
		}
		if r.Digest() != again.Digest() {
			t.Error("written again it has another digest")
		}
	})
}

// A fuzz target without seeds passes and proves nothing.
func TestEveryFuzzTargetHasSeeds(t *testing.T) {
	files, err := filepath.Glob("*_test.go")
	if err != nil {
		t.Fatal(err)
	}
	target := regexp.MustCompile(`(?m)^func (Fuzz\w+)\(`)
	found := 0
	for _, file := range files {
		source, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, match := range target.FindAllSubmatch(source, -1) {
			found++
			seeds, err := filepath.Glob(filepath.Join("testdata", "fuzz", string(match[1]), "*"))
			if err != nil {
				t.Fatal(err)
			}
			if len(seeds) < 3 {
				t.Errorf("%s has %d seeds in testdata, want at least 3", match[1], len(seeds))
			}
			for _, seed := range seeds {
				b, err := os.ReadFile(seed)
				if err != nil {
					t.Fatal(err)
				}
				if !bytes.HasPrefix(b, []byte("go test fuzz v1\n")) || bytes.Count(b, []byte("\n")) < 2 {
					t.Errorf("%s is no seed", seed)
				}
			}
		}
	}
	if found != 4 {
		t.Errorf("%d fuzz targets, want 4", found)
	}
}
