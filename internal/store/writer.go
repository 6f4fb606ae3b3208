package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"

	"github.com/zeebo/blake3"
)

// Writer writes one version. It holds the hashes of the blocks in memory, 32
// bytes per MiB, and nothing else of the file. It is for one goroutine.
type Writer struct {
	store  *Store
	file   File
	temp   string    // its name, in tmp/; empty once it is gone
	size   int64     // announced, or -1
	expect *Verifier // or nil: any bytes will do

	hash  *blake3.Hasher // of the block at offset
	list  []byte         // of the blocks before it
	off   int64          // bytes taken
	ended bool           // list is complete
	err   error          // the first error that cannot be repaired
}

var (
	errCommitted = errors.New("writing version: already committed")
	errAborted   = errors.New("writing version: aborted")
)

// Create begins a version of size bytes, or of any size if size is -1. The
// caller ends it with Commit or Abort. The error is ErrFull if size bytes do
// not fit on the disk, and ErrStuck if the store is stuck.
func (s *Store) Create(size int64) (*Writer, error) {
	w, err := s.create(size)
	if err != nil {
		return nil, fmt.Errorf("creating version: %w", err)
	}
	return w, nil
}

// CreateFrom is Create for bytes whose block list is known: Write accepts no
// block that differs from it. It takes v over.
func (s *Store) CreateFrom(v *Verifier) (*Writer, error) {
	w, err := s.Create(v.size)
	if err != nil {
		return nil, err
	}
	w.expect = v
	return w, nil
}

func (s *Store) create(size int64) (*Writer, error) {
	if size < -1 || size > MaxSize {
		return nil, fmt.Errorf("size of %d bytes is not between 0 and %d", size, int64(MaxSize))
	}
	w := &Writer{store: s, size: size, hash: blake3.New()}
	if size > 0 {
		// A full disk says so before the bytes travel, not after.
		free, _, err := s.fs.Space()
		if err != nil {
			return nil, err
		}
		if free < size {
			return nil, fmt.Errorf("%d bytes wanted, %d free: %w", size, free, ErrFull)
		}
	}
	var err error
	w.file, w.temp, err = s.newTemp()
	return w, err
}

// Write takes the next bytes. With a block list to keep to it returns a
// *[BlockError] at the end of a block that differs, and the next Write goes
// on from the start of that block, as after Rewind: the caller gets it from
// somebody else. Any other error is final, and the temporary file is gone.
func (w *Writer) Write(p []byte) (int, error) {
	if w.err != nil {
		return 0, w.err
	}
	if w.ended && len(p) > 0 {
		return 0, w.fail(fmt.Errorf("writing version: more than %d bytes: %w", w.off, ErrSize))
	}
	n := 0
	for n < len(p) {
		part := p[n:min(len(p), n+int(BlockSize-w.off%BlockSize))]
		if limit := w.limit(); w.off+int64(len(part)) > limit {
			return n, w.fail(fmt.Errorf("writing version: more than %d bytes: %w", limit, ErrSize))
		}
		if _, err := w.file.WriteAt(part, w.off); err != nil {
			return n, w.fail(fmt.Errorf("writing version: %w", diskError(err)))
		}
		w.hash.Write(part)
		w.off += int64(len(part))
		n += len(part)
		if w.off%BlockSize == 0 || w.off == w.size {
			if err := w.endBlock(); err != nil {
				return n, err
			}
		}
	}
	return n, nil
}

func (w *Writer) limit() int64 {
	if w.size >= 0 {
		return w.size
	}
	return MaxSize
}

func (w *Writer) endBlock() error {
	var sum [HashSize]byte
	w.hash.Sum(sum[:0])
	if w.expect != nil {
		block := int64(len(w.list) / HashSize)
		if err := w.expect.compare(block, sum[:]); err != nil {
			w.Rewind()
			return err
		}
	}
	w.list = append(w.list, sum[:]...)
	w.hash.Reset()
	return nil
}

// Rewind forgets the block that is not complete and returns the offset from
// which Write goes on. After a source is lost in the middle of a block, the
// next one begins there, so that no block is a mixture that nobody answers
// for.
func (w *Writer) Rewind() int64 {
	w.off = int64(len(w.list)/HashSize) * BlockSize
	if w.size >= 0 {
		w.off = min(w.off, w.size)
	}
	w.hash.Reset()
	return w.off
}

// Blocks ends the bytes and returns the list of their BLAKE3 hashes, one of
// 32 bytes per block, the BLAKE3 hash of that list, and their number. The
// list belongs to the writer.
func (w *Writer) Blocks() (list []byte, root [32]byte, size int64) {
	if !w.ended && w.size < 0 && w.off%BlockSize != 0 {
		w.endBlock() // no size, so no list to keep to: it cannot fail
	}
	w.ended = true
	return w.list, blake3.Sum256(w.list), w.off
}

// Commit makes the bytes written a version, with its manifest of at most
// [MaxManifest] bytes, under the position of its name and with these labels in
// that of its file. When it returns nil
// the version, its name and its folder are synced: it may be confirmed. The
// same version committed twice is the same file: the caller has checked that
// these are the bytes the manifest stands for. After an error nothing may be
// confirmed, though the version may be there; the error is ErrFull without
// space and ErrStuck if a sync failed. The writer has ended in any case.
func (w *Writer) Commit(key uint64, labels Labels, manifest []byte) (Version, error) {
	defer w.Abort()
	if w.err != nil {
		return Version{}, w.err
	}
	_, root, size := w.Blocks()
	if w.size >= 0 && size != w.size {
		return Version{}, w.fail(fmt.Errorf("committing version: %d bytes of %d: %w", size, w.size, ErrSize))
	}
	if len(manifest) == 0 || len(manifest) > MaxManifest {
		return Version{}, w.fail(fmt.Errorf("committing version: manifest of %d bytes", len(manifest)))
	}
	f := footer{key: key, size: size, manifestSize: len(manifest), root: root}
	if labels.Flags &^= FlagApart; f.apart() {
		labels.Flags |= FlagApart
	}
	e := Entry{Version{key, sha256.Sum256(manifest)}, labels, [16]byte(root[:16])}
	if err := w.finish(f, e, manifest); err != nil {
		return Version{}, w.fail(fmt.Errorf("committing version: %w", err))
	}
	w.err = errCommitted
	return e.Version, nil
}

// finish is the rest of a durable write, in this order: all bytes, sync,
// close, rename, folder sync. A sync is never tried twice. If the bytes lie apart,
// the version's own file is written, synced and closed after them, and renamed
// after them; one folder sync is for both names.
func (w *Writer) finish(f footer, e Entry, manifest []byte) error {
	end := w.list
	if !f.apart() {
		end = f.appendTail(end, manifest)
	}
	if _, err := w.file.WriteAt(end, f.size); err != nil {
		return diskError(err)
	}
	if err := w.file.Sync(); err != nil {
		return w.store.syncFailed(err)
	}
	file, temp := w.file, w.temp
	w.file = nil
	if err := file.Close(); err != nil {
		return diskError(err)
	}
	w.temp = ""
	if !f.apart() {
		return w.store.publish(e, rename{temp, e.path(), f.fileLength()})
	}
	own, err := w.store.writeTemp(f.appendTail(nil, manifest))
	if err != nil {
		w.store.fs.Remove(temp) // see prepare
		return err
	}
	return w.store.publish(e,
		rename{temp, bytesFile{e.Key, f.root}.path(), f.bytesLength()}, rename{own, e.path(), f.fileLength()})
}

// Adopt makes a version of size bytes of which only the manifest is new: bytes
// with that block list are here under the same key, named by this run or an
// earlier one (R25). They are not read: that they are right is as for any version of
// an earlier run. The error is ErrNotFound if there are none that count.
func (s *Store) Adopt(key uint64, labels Labels, root [32]byte, size int64, manifest []byte) (Version, error) {
	f := footer{key: key, size: size, manifestSize: len(manifest), root: root}
	b := bytesFile{key, root}
	if !f.apart() || !s.haveBytes(b, f.bytesLength()) {
		return Version{}, ErrNotFound
	}
	if len(manifest) == 0 || len(manifest) > MaxManifest {
		return Version{}, fmt.Errorf("adopting version: manifest of %d bytes", len(manifest))
	}
	labels.Flags |= FlagApart
	e := Entry{Version{key, sha256.Sum256(manifest)}, labels, [16]byte(root[:16])}
	own, err := s.writeTemp(f.appendTail(nil, manifest))
	if err == nil {
		err = s.publish(e, rename{own, e.path(), f.fileLength()})
	}
	if err != nil {
		return Version{}, fmt.Errorf("adopting version: %w", err)
	}
	return e.Version, nil
}

// haveBytes tells whether bytes of that length lie apart and are on the disk: what
// earlier runs left is, or a version that has them.
func (s *Store) haveBytes(b bytesFile, length int64) bool {
	var versions []Version
	err := s.Each(b.key, func(e Entry) {
		if e.apart() && e.bytes() == b.inMemory() {
			versions = append(versions, e.Version)
		}
	})
	settled := s.countsAll() && s.folders[folderOf(b.key)].has(b.inMemory())
	if err != nil || !settled && !slices.ContainsFunc(versions, s.isSynced) {
		return false
	}
	f, err := s.fs.Open(b.path())
	if err != nil {
		return false
	}
	defer f.Close() // nothing was read
	got, err := f.Size()
	return err == nil && got == length
}

// Abort ends the writer and removes what it wrote. After Commit or a final
// error it does nothing, so it may be deferred.
func (w *Writer) Abort() { w.fail(errAborted) }

// fail ends the writer with its first error and returns that. Its temporary
// file goes at once, for the space; what cannot be removed goes at the next
// start.
func (w *Writer) fail(err error) error {
	if w.err == nil {
		w.err = err
	}
	if w.file != nil {
		w.file.Close()
		w.file = nil
	}
	if w.temp != "" {
		w.store.fs.Remove(w.temp)
		w.temp = ""
	}
	return w.err
}
