package node

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"securepeer/internal/store"
	"securepeer/wire"
)

// maxUnread is how many versions that cannot be read are remembered, and for how
// many names a disk may fail in one part of a listing: if for more, the disk fails,
// and not a file here and there.
const maxUnread = wire.MaxListed

// unread is the versions on this disk that are there and could not be read, at
// most maxUnread, with what the disk said when each was last tried.
type unread struct {
	mu    sync.Mutex
	known map[store.Entry]error
}

// note keeps how reading a version's manifest has ended. A shortage of this process
// is none of the file's.
func (u *unread) note(e store.Entry, err error) {
	u.mu.Lock()
	defer u.mu.Unlock()
	switch {
	case err == nil || errors.Is(err, store.ErrNotFound):
		delete(u.known, e)
	case Remedy(err) == "" && len(u.known) < maxUnread:
		if u.known == nil {
			u.known = make(map[store.Entry]error)
		}
		u.known[e] = err
	}
}

// any returns one of them.
func (u *unread) any() (store.Entry, bool) {
	u.mu.Lock()
	defer u.mu.Unlock()
	for e := range u.known {
		return e, true
	}
	return store.Entry{}, false
}

// warning is what the machine's operator is told of them; "": there are none.
func (u *unread) warning() string {
	u.mu.Lock()
	defer u.mu.Unlock()
	if len(u.known) == 0 {
		return ""
	}
	first := slices.MinFunc(slices.Collect(maps.Keys(u.known)), func(a, b store.Entry) int {
		return strings.Compare(a.String(), b.String())
	})
	return fmt.Sprintf("%s on this disk cannot be read (%v): mend the disk, or delete the file and start this peer again: the others that have it give it anew",
		versions(len(u.known)), u.known[first])
}

func versions(n int) string {
	switch n {
	case 1:
		return "1 version"
	case maxUnread:
		return fmt.Sprintf("%d versions or more", n)
	}
	return fmt.Sprintf("%d versions", n)
}

// unreadError ends a listing that is whole but for some names, whose files cannot
// be read.
type unreadError struct{ names int }

// Error says how many.
func (e *unreadError) Error() string { return "cannot read " + e.files() }

func (e *unreadError) files() string {
	if e.names == 1 {
		return "1 of its files"
	}
	return fmt.Sprintf("%d of its files", e.names)
}
