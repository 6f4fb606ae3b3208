package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"

	"github.com/zeebo/blake3"
)

// Reader reads one version. Its manifest and footer have been verified; its
// bytes are handed out as the disk gives them, and whoever receives them
// verifies each block with a [Verifier]. It stays good while the version is
// written again, moved or removed. Its methods may be called from several
// goroutines at once.
type Reader struct {
	store    *Store
	entry    Entry
	file     File
	foot     footer
	manifest []byte
}

// Manifest returns the manifest in the file that has this name, and opens no other.
// Errors are as of Reader.
func (s *Store) Manifest(e Entry) ([]byte, error) {
	r, err := s.open(e)
	if errors.Is(err, ErrNotFound) {
		r, err = s.reopen(e, asOpened)
	}
	if err != nil {
		return nil, fmt.Errorf("opening version %s: %w", e.Version, err)
	}
	return r.manifest, r.Close()
}

// Reader opens v. The error is ErrNotFound if v is not here, and also
// ErrDamaged if it was but its footer or manifest is bad: then it is in bad/
// now.
func (s *Store) Reader(v Version) (*Reader, error) {
	e, err := s.Find(v)
	var r *Reader
	if err == nil {
		r, err = s.open(e)
		if err == nil {
			err = r.openBytes()
		}
		if errors.Is(err, ErrNotFound) {
			r, err = s.reopen(e, asOpened)
		}
	}
	if err != nil {
		return nil, fmt.Errorf("opening version %s: %w", v, err)
	}
	return r, nil
}

// asOpened checks no more than opening does.
func asOpened(*Reader) error { return nil }

// open opens the version's own file, and does not quarantine it.
func (s *Store) open(e Entry) (*Reader, error) {
	f, err := s.fs.Open(e.path())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	r := &Reader{store: s, entry: e, file: f}
	if err := r.load(); err != nil {
		f.Close() // read only
		return nil, err
	}
	return r, nil
}

// load reads and verifies the end of the file, in one read.
func (r *Reader) load() error {
	length, err := r.file.Size()
	if err != nil {
		return err
	}
	tail := make([]byte, min(length, MaxManifest+footerSize))
	if err := readFull(r.file, tail, length-int64(len(tail))); err != nil {
		return err
	}
	r.foot, r.manifest, err = parseTail(tail, length)
	if err != nil {
		return err
	}
	if r.foot.key != r.entry.Key || sha256.Sum256(r.manifest) != r.entry.Sum || [16]byte(r.foot.root[:16]) != r.entry.Root || r.foot.apart() != r.entry.apart() {
		return fmt.Errorf("another version under this name: %w", ErrDamaged)
	}
	return nil
}

// openBytes opens the bytes of the version in place of its own file, if they lie
// apart. If it fails the reader is closed.
func (r *Reader) openBytes() error {
	if !r.foot.apart() {
		return nil
	}
	r.file.Close() // read only
	f, err := r.store.fs.Open(r.bytesFile().path())
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	if err != nil {
		return err
	}
	length, err := f.Size()
	if err == nil && length != r.foot.bytesLength() {
		err = fmt.Errorf("bytes of %d bytes, %d expected: %w", length, r.foot.bytesLength(), ErrDamaged)
	}
	if err != nil {
		f.Close() // read only
		return err
	}
	r.file = f
	return nil
}

// bytesFile names the bytes of the version, which lie apart.
func (r *Reader) bytesFile() bytesFile { return bytesFile{r.entry.Key, r.foot.root} }

// readFull is ReadAt of all of p; a file that ends too early is damaged.
func readFull(f File, p []byte, off int64) error {
	n, err := f.ReadAt(p, off)
	if n == len(p) {
		return nil
	}
	if err == io.EOF {
		return fmt.Errorf("file ends at byte %d: %w", off+int64(n), ErrDamaged)
	}
	return err
}

// Manifest returns the manifest. The caller must not change it.
func (r *Reader) Manifest() []byte { return r.manifest }

// Entry returns what the name of the version's file says. Key, sum and root are
// those of the file; whether the labels are the manifest's is for the caller to
// say, with [Store.Reject].
func (r *Reader) Entry() Entry { return r.entry }

// Size returns the number of bytes of the file.
func (r *Reader) Size() int64 { return r.foot.size }

// Root returns the BLAKE3 hash of the block list.
func (r *Reader) Root() [32]byte { return r.foot.root }

// BlockList reads and verifies the hashes of the blocks, 32 bytes per MiB of
// the file. If they are bad the version is quarantined and the error is
// ErrDamaged.
func (r *Reader) BlockList() ([]byte, error) {
	list, err := r.blockList()
	if errors.Is(err, ErrDamaged) {
		var again *Reader
		again, err = r.store.reopen(r.entry, func(r *Reader) error {
			list, err = r.blockList()
			return err
		})
		if err == nil {
			again.Close() // read only
		}
	}
	if err != nil {
		return nil, fmt.Errorf("reading block list of version %s: %w", r.entry.Version, err)
	}
	return list, nil
}

// blockList is BlockList without quarantine.
func (r *Reader) blockList() ([]byte, error) {
	list := make([]byte, blockCount(r.foot.size)*HashSize)
	if err := readFull(r.file, list, r.foot.size); err != nil {
		return nil, err
	}
	if blake3.Sum256(list) != r.foot.root {
		return nil, fmt.Errorf("checksum of the block list: %w", ErrDamaged)
	}
	return list, nil
}

// checkBlock reads one block and compares it with the list.
func (r *Reader) checkBlock(block int64) error {
	list, err := r.blockList()
	if err != nil {
		return err
	}
	v, err := NewVerifier(list, r.foot.root, r.foot.size)
	if err != nil {
		return err
	}
	if block < 0 || block >= blockCount(r.foot.size) {
		return nil // there is no such block to be bad
	}
	b := make([]byte, blockLength(block, r.foot.size))
	if err := readFull(r.file, b, block*BlockSize); err != nil {
		return err
	}
	if err := v.Check(block, b); err != nil {
		return fmt.Errorf("%w: %w", err, ErrDamaged)
	}
	return nil
}

// ReadAt reads bytes of the file, as [io.ReaderAt] says, unverified.
func (r *Reader) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("reading version: offset %d", off)
	}
	if off >= r.foot.size {
		return 0, io.EOF
	}
	short := int64(len(p)) > r.foot.size-off
	if short {
		p = p[:r.foot.size-off]
	}
	n, err := r.file.ReadAt(p, off)
	if n < len(p) && err == io.EOF {
		err = io.ErrUnexpectedEOF // the file was longer when it was opened
	}
	if n == len(p) && short {
		err = io.EOF
	}
	return n, err
}

// CopyRange writes n bytes from offset off to w, unverified, through buf,
// which must not be empty and which belongs to the caller: it is as large as
// the writes are to be. A range that does not lie in the file is an error, and
// nothing is written.
func (r *Reader) CopyRange(w io.Writer, off, n int64, buf []byte) error {
	if off < 0 || n < 0 || off > r.foot.size || n > r.foot.size-off {
		return fmt.Errorf("reading version: %d bytes at %d of %d", n, off, r.foot.size)
	}
	if len(buf) == 0 {
		return errors.New("reading version: empty buffer")
	}
	for n > 0 {
		p := buf[:min(n, int64(len(buf)))]
		if k, err := r.ReadAt(p, off); k < len(p) {
			return fmt.Errorf("reading version: %w", err)
		}
		if _, err := w.Write(p); err != nil {
			return err
		}
		off += int64(len(p))
		n -= int64(len(p))
	}
	return nil
}

// Close closes the file.
func (r *Reader) Close() error { return r.file.Close() }
