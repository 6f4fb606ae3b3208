package store

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/zeebo/blake3"
)

// tailOf is the end of the file of a version with that manifest, and the
// length of the file.
func tailOf(f footer, manifest []byte) ([]byte, int64) {
	f.manifestSize = len(manifest)
	return f.appendTail(nil, manifest), f.fileLength()
}

// accepts is parseTail once more, from the words of docs/protocol.md.
func accepts(tail []byte, length int64) bool {
	if len(tail) < 92 {
		return false
	}
	number := func(b []byte) (n uint64) {
		for _, c := range b {
			n = n<<8 | uint64(c)
		}
		return n
	}
	b := tail[len(tail)-92:]
	size, manifest := number(b[16:24]), number(b[24:28])
	if string(b[:6]) != "SPFILE" || b[6] != 0 || b[7] != 2 || size > 1099511627776 || manifest < 1 || manifest > 4096 {
		return false
	}
	blocks := size / 1048576
	if size%1048576 > 0 {
		blocks++
	}
	own := manifest + 92
	if size <= 1048576 {
		own += size + 32*blocks
	}
	if uint64(length) != own || uint64(len(tail)) < manifest+92 {
		return false
	}
	h := blake3.New()
	h.Write(tail[len(tail)-92-int(manifest) : len(tail)-92])
	h.Write(b[:60])
	return bytes.Equal(h.Sum(nil), b[60:])
}

// FuzzParseTail: parseTail takes what the independent acceptor takes, and what
// it took is the only way to write it.
func FuzzParseTail(f *testing.F) {
	for _, size := range []int64{0, 1, BlockSize - 1, BlockSize, BlockSize + 1, MaxSize - 1, MaxSize, MaxSize + 1, -1} {
		for _, n := range []int{0, 1, 4095, 4096, 4097} {
			tail, length := tailOf(footer{key: 1 << 60, size: size, root: [32]byte{1, 2}}, make([]byte, n))
			f.Add(tail, length)
			f.Add(tail[1:], length)
			f.Add(append([]byte{9}, tail...), length)
			f.Add(tail, length+1)
		}
	}
	f.Add([]byte(nil), int64(0))
	f.Fuzz(func(t *testing.T, tail []byte, length int64) {
		if len(tail) > MaxManifest+footerSize || length < int64(len(tail)) {
			return // load never asks for it
		}
		for _, forged := range []bool{false, true} {
			if forged { // a checksum is nothing a fuzzer finds
				tail = withCheck(tail)
			}
			got, manifest, err := parseTail(tail, length)
			if accepted := accepts(tail, length); accepted != (err == nil) {
				t.Fatalf("parseTail = %v, acceptor says %v", err, accepted)
			}
			if err != nil {
				if got != (footer{}) || manifest != nil || !errors.Is(err, ErrDamaged) {
					t.Fatalf("parseTail = %+v, %d bytes with %v", got, len(manifest), err)
				}
				continue
			}
			again := got.appendTail(nil, manifest)
			if !bytes.HasSuffix(tail, again) || len(again) != footerSize+len(manifest) {
				t.Fatal("what was parsed is written otherwise")
			}
		}
	})
}

// withCheck puts the right checksum at the end, if the length it must cover is
// there.
func withCheck(tail []byte) []byte {
	if len(tail) < footerSize {
		return tail
	}
	b := bytes.Clone(tail)
	foot := b[len(b)-footerSize:]
	n := int(foot[26])<<8 | int(foot[27])
	start := len(b) - footerSize - n
	if start < 0 {
		return tail
	}
	check := blake3.Sum256(b[start : len(b)-HashSize])
	copy(b[len(b)-HashSize:], check[:])
	return b
}

// TestFuzzSeedsReachTheLimits: the seeds above are no use if none is accepted.
func TestFuzzSeedsReachTheLimits(t *testing.T) {
	for _, size := range []int64{0, 1, BlockSize, BlockSize + 1, MaxSize} {
		for _, n := range []int{1, 4095, 4096} {
			tail, length := tailOf(footer{size: size}, make([]byte, n))
			if _, _, err := parseTail(tail, length); err != nil || !accepts(tail, length) {
				t.Errorf("size %d, manifest %d: %v", size, n, err)
			}
		}
	}
	for _, test := range []struct {
		size     int64
		manifest int
	}{{MaxSize + 1, 1}, {-1, 1}, {1, 0}, {1, 4097}} {
		tail, length := tailOf(footer{size: test.size}, make([]byte, test.manifest))
		if _, _, err := parseTail(tail, length); err == nil || accepts(tail, length) {
			t.Errorf("size %d, manifest %d: accepted", test.size, test.manifest)
		}
	}
}

// FuzzParseEntry: a name is a version's only in the one form.
func FuzzParseEntry(f *testing.F) {
	v := anEntry.String()
	for i := range v { // the hyphens among them
		f.Add(v[:i] + "-" + v[i+1:])
		f.Add(v[:i] + "0" + v[i+1:])
	}
	for _, name := range []string{"", "-", v, v[1:], v + "0", strings.ToUpper(v), strings.Replace(v, "-", "0", 1), "+" + v[1:]} {
		f.Add(name)
	}
	form := regexp.MustCompile(`\A[0-9a-f]{16}-[0-9a-f]{32}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{16}-[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{64}\z`)
	f.Fuzz(func(t *testing.T, name string) {
		e, ok := parseEntry(name)
		if ok != form.MatchString(name) {
			t.Fatalf("parseEntry(%q) = %v", name, ok)
		}
		if ok && e.String() != name || !ok && e != (Entry{}) {
			t.Fatalf("parseEntry(%q) = %v", name, e)
		}
	})
}

// anEntry has another value in each field.
var anEntry = Entry{
	Version{0x0123456789abcdef, [32]byte{0xff, 31: 1}},
	Labels{Name: [16]byte{0xfe, 15: 2}, Number: 0x1122334455667788, Writer: 0x99aa, Signer: 0xbbcc, Flags: 0xdd},
	[16]byte{0xfc, 15: 4},
}

// TestNameOfAnEntry: each field comes back from the name alone, which fits on
// every file system, and no two entries have one name.
func TestNameOfAnEntry(t *testing.T) {
	name := anEntry.String()
	if got, ok := parseEntry(name); !ok || got != anEntry || len(name) != nameSize || nameSize >= 200 {
		t.Errorf("parseEntry(%q) = %+v, %v", name, got, ok)
	}
	for i := range name {
		for _, c := range "0123456789abcdef" {
			other := name[:i] + string(c) + name[i+1:]
			if e, ok := parseEntry(other); other != name && (ok != (name[i] != '-') || e == anEntry) {
				t.Errorf("parseEntry(%q) = %+v, %v", other, e, ok)
			}
		}
	}
}

// TestFolders: each name of a folder stands for one folder.
func TestFolders(t *testing.T) {
	for folder := range folderCount {
		name := strings.TrimPrefix(folderPath(folder), "files/")
		if got, ok := parseFolder(name); !ok || got != folder || len(name) != 3 {
			t.Errorf("parseFolder(%q) = %d, %v", name, got, ok)
		}
	}
	if folderOf(1<<64-1) != folderCount-1 || folderOf(1<<52-1) != 0 || folderOf(1<<52) != 1 {
		t.Error("folders are not the top 12 bits")
	}
}

// TestProtocolDocument writes the files that docs/protocol.md shows and
// compares every byte and name.
func TestProtocolDocument(t *testing.T) {
	dir := t.TempDir()
	s, err := Open(Dir(dir), bytes.NewReader([]byte("0123456789abcdef")))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	blocks := hexBlocks(t)
	for name, data := range map[string]string{"version-empty": "", "version": "hello\n", "version-large": string(make([]byte, BlockSize+1))} {
		w, err := s.Create(int64(len(data)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(data)); err != nil {
			t.Fatal(err)
		}
		labels := Labels{Name: [16]byte{0xa1, 0xb2, 0xc3, 0xd4, 0xe5, 0xf6, 0x07, 0x18}, Number: 9, Writer: 1, Signer: 1}
		v, err := w.Commit(0xa1b2c3d4e5f60718, labels, []byte("manifest"))
		if err != nil {
			t.Fatal(err)
		}
		e, err := s.Find(v)
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join(dir, e.path()))
		if err != nil || !bytes.Equal(got, blocks[name]) {
			t.Errorf("hex block %s is not\n%x\n(%v)", name, got, err)
		}
		delete(blocks, name)
		names := []string{e.path()}
		if e.apart() {
			_, root, _ := w.Blocks()
			names = append(names, bytesFile{e.Key, root}.path())
		}
		for _, path := range names {
			if !strings.Contains(protocol(t), "`"+path+"`") {
				t.Errorf("no file name %s", path)
			}
		}
		if err := s.Remove(v); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.WriteState("example", []byte("hello\n")); err != nil {
		t.Fatal(err)
	}
	for name, file := range map[string]string{"state": "state/example", "id": "store-id"} {
		got, err := os.ReadFile(filepath.Join(dir, file))
		if err != nil || !bytes.Equal(got, blocks[name]) {
			t.Errorf("hex block %s is not\n%x\n(%v)", name, got, err)
		}
		delete(blocks, name)
	}
	for name := range blocks {
		t.Errorf("hex block store/%s is not written by this test", name)
	}
}

// protocol returns the protocol document.
func protocol(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../docs/protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// hexBlocks returns the hex blocks of the protocol document whose names begin
// with store/, which it leaves out.
func hexBlocks(t *testing.T) map[string][]byte {
	t.Helper()
	blocks := make(map[string][]byte)
	comment := regexp.MustCompile(`#.*|\s+`)
	for _, m := range regexp.MustCompile("(?ms)^```hex store/(\\S+)\n(.*?)^```$").FindAllStringSubmatch(protocol(t), -1) {
		b, err := hex.DecodeString(comment.ReplaceAllString(m[2], ""))
		if err != nil {
			t.Fatalf("hex block %s: %v", m[1], err)
		}
		blocks[m[1]] = b
	}
	return blocks
}

// FuzzVersionFile opens arbitrary bytes under the name of a version: they are
// refused and moved away, or they are that version.
func FuzzVersionFile(f *testing.F) {
	manifest := []byte("manifest")
	for _, data := range [][]byte{nil, []byte("hello\n"), make([]byte, 2000)} {
		var list []byte
		if len(data) > 0 {
			sum := blake3.Sum256(data)
			list = sum[:]
		}
		foot := footer{key: 5, size: int64(len(data)), root: blake3.Sum256(list)}
		file := foot.appendTail(append(bytes.Clone(data), list...), manifest)
		f.Add(file)
		f.Add(file[1:])
		f.Add(append(bytes.Clone(file), 0))
		if len(data) > 0 {
			flipped := bytes.Clone(file)
			flipped[1] ^= 1
			f.Add(flipped)
		}
	}
	dir := f.TempDir()
	s, err := Open(Dir(dir), rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	w, err := s.Create(0)
	if err != nil {
		f.Fatal(err)
	}
	v, err := w.Commit(5, Labels{}, manifest)
	if err == nil {
		err = s.Remove(v)
	}
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, file []byte) {
		e := Entry{Version: v}
		if len(file) >= 64 {
			e.Root = [16]byte(file[len(file)-64:]) // the name has that of the footer
		}
		path := filepath.Join(dir, e.path())
		if err := os.WriteFile(path, file, 0o600); err != nil {
			t.Fatal(err)
		}
		d := &s.folders[0]
		d.add(e, 0)
		defer d.drop(e, 0)
		defer os.Remove(path)
		whole := checkFile(s, v)
		if whole != nil && !errors.Is(whole, ErrDamaged) {
			t.Fatalf("reading: %v", whole)
		}
		if present, _, err := s.Has(v); present != (whole == nil) || err != nil {
			t.Fatalf("Has = %v, %v after %v", present, err, whole)
		}
		size := len(file) - footerSize - len(manifest) // one block at most
		if size > 0 {
			size -= HashSize
		}
		if whole != nil || size == 0 {
			return
		}
		if size > BlockSize || blake3.Sum256(file[:size]) != [32]byte(file[size:size+HashSize]) {
			t.Fatal("a bad file counts as whole")
		}
	})
}

// checkFile reads all of a version.
func checkFile(s *Store, v Version) error {
	r, err := s.Reader(v)
	if err != nil {
		return err
	}
	defer r.Close()
	if _, err := r.BlockList(); err != nil {
		return err
	}
	for block := range blockCount(r.Size()) {
		if err := s.Quarantine(v, block); err != nil {
			return err
		}
	}
	return nil
}
