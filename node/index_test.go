package node

import (
	"fmt"
	"testing"

	"securepeer/internal/store"
	"securepeer/internal/store/simdisk"
	"securepeer/wire"
)

// heldFS opens versions only when it is told to.
type heldFS struct {
	store.FS
	began, free chan struct{}
}

func (f *heldFS) Open(name string) (store.File, error) {
	if f.began != nil && len(name) > len("files/000/") && name[:6] == "files/" {
		began := f.began
		f.began = nil
		close(began)
		<-f.free
	}
	return f.FS.Open(name)
}

// TestCommitDoesNotWaitForAListing: what is committed while a listing walks the
// disk does not wait for it, and is in it.
func TestCommitDoesNotWaitForAListing(t *testing.T) {
	fsys := &heldFS{FS: simdisk.New(1).Mount()}
	d := diskOn(t, fsys)
	for i := range 5 {
		d.keep(t, wire.Manifest{Name: fmt.Sprint("before ", i), Version: 1, Writer: 1, Signer: 1, Flags: wire.Tombstone})
	}
	began := make(chan struct{})
	fsys.began, fsys.free = began, make(chan struct{})
	listed := make(chan error)
	go func() { listed <- d.index.build(d) }() // ends below
	<-began
	d.index.add(indexed{"while", store.Version{Key: 1}})
	close(fsys.free)
	if err := <-listed; err != nil {
		t.Fatal(err)
	}
	if names, _ := d.index.after("", "", 10); len(names) != 6 || names[5].name != "while" {
		t.Errorf("listed: %v", names)
	}
}
