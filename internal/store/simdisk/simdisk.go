// Package simdisk is a disk for [store.Open] that lives in memory, forgets
// what was not synced when its power is cut, and fails when it is told to. New
// a [Disk], Mount it, and after PowerCut or Kill mount it again.
//
// It forgets as badly as any file system may: of what was written since the
// last sync of a file it keeps any subset, torn at any edge of 512 bytes; of
// the names changed since the last sync of a folder any subset, whether or not
// the bytes behind them are there. After a failed sync it counts as clean what
// it has not written. Everything is drawn from one seed, so that the same
// calls give the same disk.
package simdisk

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"path"
	"slices"
	"strings"
	"sync"
	"syscall"

	"securepeer/internal/store"
)

// sector is what a disk writes whole or not at all, in bytes.
const sector = 512

// Errors for Disk.Fail to return that do more than fail the call.
var (
	// ErrPower cuts the power before the call has any effect.
	ErrPower = errors.New("simdisk: the power is cut")

	// ErrKilled ends the process before the call has any effect, as Kill does.
	ErrKilled = errors.New("simdisk: the process is killed")

	// ErrRot lets a read succeed with one bit flipped.
	ErrRot = errors.New("simdisk: a bit has rotted")
)

// errUnmounted is what files and file systems of an earlier mount return.
var errUnmounted = errors.New("simdisk: not mounted any more")

// Call is one call of the disk.
type Call struct {
	N    int    // how many calls came before it, since New
	Op   string // Lock, Mkdir, Create, Open, Edit, Rename, Remove, SyncDir, SyncAll, List, Space, or ReadAt, WriteAt, Size, Sync, Close
	Name string // of the file or folder
}

// Disk is the disk. The exported fields may be changed between calls.
type Disk struct {
	// Fail is asked before every call; the call fails with the error it
	// returns, unless that is nil. A write that fails may have written the
	// first part, a sync that fails any part; but a SyncDir or SyncAll that
	// fails with EMFILE has not begun. Fail must not use the disk.
	Fail func(Call) error

	// Capacity is the room for the bytes of files; 0 means no limit.
	Capacity int64

	mu     sync.Mutex
	rng    *rand.Rand
	calls  int
	mounts int  // the current mount; files of another are dead
	boots  int  // how often the power was cut
	locked bool // by the current mount
	root   *node
}

// New returns an empty disk.
func New(seed uint64) *Disk {
	return &Disk{rng: rand.New(rand.NewPCG(seed, 0)), root: newDir()}
}

// node is a file or a folder: what the kernel shows of it, and what would be
// there after a cut.
type node struct {
	data, safe []byte
	writes     []write // since the last sync, in order

	dir              bool
	names, safeNames map[string]*node
	changes          []change // since the last sync, in order
}

type write struct {
	off  int
	data []byte
}

type change struct {
	name string
	node *node // nil: removed
}

func newDir() *node {
	return &node{dir: true, names: make(map[string]*node), safeNames: make(map[string]*node)}
}

func (n *node) set(name string, child *node) {
	if child == nil {
		delete(n.names, name)
	} else {
		n.names[name] = child
	}
	n.changes = append(n.changes, change{name, child})
}

// settle puts on the disk whatever part of the unsynced changes chance wants,
// and counts the rest as clean.
func (n *node) settle(rng *rand.Rand) {
	for _, c := range n.changes {
		if rng.IntN(2) == 0 {
			n.keep(c)
		}
	}
	n.changes = nil
	whole := rng.IntN(3) // all of each write, none, or any sectors of it
	for _, w := range n.writes {
		end := w.off + len(w.data)
		for off := w.off; off < end; {
			next := min(end, off/sector*sector+sector)
			if whole == 0 || whole == 2 && rng.IntN(2) == 0 {
				n.safe = put(n.safe, off, w.data[off-w.off:next-w.off])
			}
			off = next
		}
		if rng.IntN(4) == 0 && len(n.safe) < end { // the length came first
			n.safe = put(n.safe, end, nil)
		}
	}
	n.writes = nil
}

// sync puts all of the unsynced changes on the disk.
func (n *node) sync() {
	for _, c := range n.changes {
		n.keep(c)
	}
	for _, w := range n.writes {
		n.safe = put(n.safe, w.off, w.data)
	}
	n.changes, n.writes = nil, nil
}

func (n *node) keep(c change) {
	if c.node == nil {
		delete(n.safeNames, c.name)
	} else {
		n.safeNames[c.name] = c.node
	}
}

// put is WriteAt for a slice.
func put(b []byte, off int, p []byte) []byte {
	if end := off + len(p); end > cap(b) {
		b = append(make([]byte, 0, max(end, 2*cap(b))), b...)
	}
	if end := off + len(p); end > len(b) {
		was := len(b)
		b = b[:end]
		clear(b[was:])
	}
	copy(b[off:], p)
	return b
}

// cut is what a power cut does to a node and all below it, in the order of
// each.
func (n *node) cut(rng *rand.Rand) {
	n.settle(rng)
	n.data = bytes.Clone(n.safe)
	n.names = maps.Clone(n.safeNames)
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		n.names[name].cut(rng)
	}
}

// each calls f for a node and all below it, by name, so that chance falls the
// same way each time.
func (n *node) each(f func(*node)) {
	f(n)
	for _, name := range slices.Sorted(maps.Keys(n.names)) {
		n.names[name].each(f)
	}
}

// size counts the bytes of all files.
func (n *node) size() int64 {
	total := int64(len(n.data))
	for _, child := range n.names {
		total += child.size()
	}
	return total
}

// PowerCut takes the power away: what is mounted is dead, and what was not
// synced is gone, in part or whole.
func (d *Disk) PowerCut() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cutLocked()
}

func (d *Disk) cutLocked() {
	d.killLocked()
	d.boots++
	d.root.cut(d.rng)
}

// Kill ends the process that has the disk mounted, and nothing else: what it
// wrote is in the kernel's hands.
func (d *Disk) Kill() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.killLocked()
}

func (d *Disk) killLocked() {
	d.mounts++
	d.locked = false
}

// Calls returns how many calls the disk has had.
func (d *Disk) Calls() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.calls
}

// Damage replaces the bytes of a file, on the disk and in memory, by what
// change makes of them.
func (d *Disk) Damage(name string, change func([]byte) []byte) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(name)
	if err != nil {
		return err
	}
	n.data = change(bytes.Clone(n.data))
	n.safe, n.writes = bytes.Clone(n.data), nil
	return nil
}

// Mount returns the disk as a file system, for one process. It is dead after
// the next PowerCut or Kill.
func (d *Disk) Mount() store.FS {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &mount{disk: d, id: d.mounts}
}

// find looks a path up. Names are as in [store.FS].
func (d *Disk) find(name string) (*node, error) {
	n := d.root
	if name == "." {
		return n, nil
	}
	for part := range strings.SplitSeq(name, "/") {
		if n = n.names[part]; n == nil {
			return nil, &fs.PathError{Op: "find", Path: name, Err: fs.ErrNotExist}
		}
	}
	return n, nil
}

// parent looks up the folder that name is in.
func (d *Disk) parent(name string) (*node, string, error) {
	dir, err := d.find(path.Dir(name))
	return dir, path.Base(name), err
}

type mount struct {
	disk *Disk
	id   int
}

// begin is the start of every call; the caller unlocks the disk.
func (m *mount) begin(op, name string) error {
	d := m.disk
	if m.id != d.mounts {
		return errUnmounted
	}
	c := Call{N: d.calls, Op: op, Name: name}
	d.calls++
	if d.Fail == nil {
		return nil
	}
	switch err := d.Fail(c); err {
	case nil, ErrRot:
		return err
	case ErrPower:
		d.cutLocked()
		return errUnmounted
	case ErrKilled:
		d.killLocked()
		return errUnmounted
	default:
		return &fs.PathError{Op: op, Path: name, Err: err}
	}
}

// Lock implements [store.FS].
func (m *mount) Lock() (io.Closer, error) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if err := m.begin("Lock", "."); err != nil {
		return nil, err
	}
	if m.disk.locked {
		return nil, fmt.Errorf("simdisk: %w", store.ErrInUse)
	}
	m.disk.locked = true
	return unlocker{m}, nil
}

type unlocker struct{ *mount }

func (u unlocker) Close() error {
	u.disk.mu.Lock()
	defer u.disk.mu.Unlock()
	if u.id == u.disk.mounts {
		u.disk.locked = false
	}
	return nil
}

// Mkdir implements [store.FS].
func (m *mount) Mkdir(dir string) error {
	_, err := m.make("Mkdir", dir, newDir())
	return err
}

// Create implements [store.FS].
func (m *mount) Create(name string) (store.File, error) {
	return m.make("Create", name, &node{})
}

func (m *mount) make(op, name string, n *node) (store.File, error) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if err := m.begin(op, name); err != nil {
		return nil, err
	}
	dir, base, err := m.disk.parent(name)
	if err != nil {
		return nil, err
	}
	if dir.names[base] != nil {
		return nil, &fs.PathError{Op: op, Path: name, Err: fs.ErrExist}
	}
	dir.set(base, n)
	return &file{mount: m, node: n, name: name}, nil
}

// Open implements [store.FS].
func (m *mount) Open(name string) (store.File, error) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if err := m.begin("Open", name); err != nil {
		return nil, err
	}
	n, err := m.disk.find(name)
	if err != nil {
		return nil, err
	}
	return &file{mount: m, node: n, name: name}, nil
}

// Edit implements [store.FS].
func (m *mount) Edit(name string) (store.File, error) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if err := m.begin("Edit", name); err != nil {
		return nil, err
	}
	dir, base, err := m.disk.parent(name)
	if err != nil {
		return nil, err
	}
	n := dir.names[base]
	if n == nil {
		n = &node{}
		dir.set(base, n)
	}
	return &file{mount: m, node: n, name: name}, nil
}

// Rename implements [store.FS].
func (m *mount) Rename(from, to string) error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if err := m.begin("Rename", from); err != nil {
		return err
	}
	n, err := m.disk.find(from)
	if err != nil {
		return err
	}
	dir, base, err := m.disk.parent(to)
	if err != nil {
		return err
	}
	old, oldBase, err := m.disk.parent(from)
	if err != nil {
		return err
	}
	dir.set(base, n)
	old.set(oldBase, nil)
	return nil
}

// Remove implements [store.FS].
func (m *mount) Remove(name string) error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if err := m.begin("Remove", name); err != nil {
		return err
	}
	n, err := m.disk.find(name)
	if err != nil {
		return err
	}
	if len(n.names) > 0 {
		return &fs.PathError{Op: "Remove", Path: name, Err: syscall.ENOTEMPTY}
	}
	dir, base, err := m.disk.parent(name)
	if err != nil {
		return err
	}
	dir.set(base, nil)
	return nil
}

// SyncDir implements [store.FS].
func (m *mount) SyncDir(dir string) error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	n, err := m.disk.find(dir)
	if fault := m.begin("SyncDir", dir); fault != nil {
		if err == nil && fault != errUnmounted && !errors.Is(fault, syscall.EMFILE) {
			n.settle(m.disk.rng)
		}
		return fault
	}
	if err != nil {
		return err
	}
	n.sync()
	return nil
}

// SyncAll implements [store.FS]. One that fails is the worst that can be: of
// every file and folder any part is on the disk, and all of it counts as clean.
func (m *mount) SyncAll() error {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if fault := m.begin("SyncAll", "."); fault != nil {
		if fault != errUnmounted && !errors.Is(fault, syscall.EMFILE) {
			m.disk.root.each(func(n *node) { n.settle(m.disk.rng) })
		}
		return fault
	}
	m.disk.root.each((*node).sync)
	return nil
}

// NoInodes implements [store.FS]: it has as many as are wanted.
func (m *mount) NoInodes() bool { return false }

// Doubt implements [store.FS]: it keeps what it has synced.
func (m *mount) Doubt() string { return "" }

// Boot implements [store.FS]: another one after each power cut.
func (m *mount) Boot() string {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	return fmt.Sprintf("boot %d", m.disk.boots)
}

// List implements [store.FS].
func (m *mount) List(dir string) ([]string, error) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if err := m.begin("List", dir); err != nil {
		return nil, err
	}
	n, err := m.disk.find(dir)
	if err != nil {
		return nil, err
	}
	return slices.Sorted(maps.Keys(n.names)), nil
}

// Space implements [store.FS].
func (m *mount) Space() (free, total int64, err error) {
	m.disk.mu.Lock()
	defer m.disk.mu.Unlock()
	if err := m.begin("Space", "."); err != nil {
		return 0, 0, err
	}
	total = m.disk.Capacity
	if total == 0 {
		total = 1 << 40
	}
	return total - m.disk.root.size(), total, nil
}

// file implements [store.File].
type file struct {
	*mount
	node *node
	name string
}

func (f *file) ReadAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	fault := f.begin("ReadAt", f.name)
	if fault != nil && fault != ErrRot {
		return 0, fault
	}
	if off >= int64(len(f.node.data)) {
		return 0, io.EOF
	}
	n := copy(p, f.node.data[off:])
	if fault == ErrRot && n > 0 {
		p[f.disk.rng.IntN(n)] ^= 1 << f.disk.rng.IntN(8)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (f *file) WriteAt(p []byte, off int64) (int, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	d, n := f.disk, f.node
	err := f.begin("WriteAt", f.name)
	if err == errUnmounted {
		return 0, err
	}
	grow := off + int64(len(p)) - int64(len(n.data))
	if err == nil && d.Capacity > 0 && grow > 0 && d.root.size()+grow > d.Capacity {
		err = &fs.PathError{Op: "WriteAt", Path: f.name, Err: syscall.ENOSPC}
	}
	if err != nil {
		p = p[:d.rng.IntN(len(p)+1)]
	}
	n.data = put(n.data, int(off), p)
	n.writes = append(n.writes, write{int(off), bytes.Clone(p)})
	return len(p), err
}

func (f *file) Size() (int64, error) {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.begin("Size", f.name); err != nil {
		return 0, err
	}
	return int64(len(f.node.data)), nil
}

func (f *file) Sync() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	if err := f.begin("Sync", f.name); err != nil {
		if err != errUnmounted {
			f.node.settle(f.disk.rng)
		}
		return err
	}
	f.node.sync()
	return nil
}

func (f *file) Close() error {
	f.disk.mu.Lock()
	defer f.disk.mu.Unlock()
	return f.begin("Close", f.name)
}
