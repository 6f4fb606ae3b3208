package node

import (
	"bytes"
	"testing"
)

func TestThreePeersKeepAFileWhenOneDies(t *testing.T) {
	w := newWorld(t, 3, "copies=2")
	w.startAll()
	files := map[string][]byte{"empty": {}, "small": []byte("hello"), "dir/odd": bytesOf(1, 3<<20+17)}
	for name, data := range files {
		if r := put(t, w.nodes[0], name, data); len(r.Copies) != 2 || r.Size != int64(len(data)) {
			t.Errorf("Put(%q) = %+v, want 2 copies", name, r)
		}
	}
	for name, data := range files {
		for i, n := range w.nodes {
			if got, _ := get(t, n, name); !bytes.Equal(got, data) {
				t.Errorf("node %d: %q has %d bytes, or others, want %d", i, name, len(got), len(data))
			}
		}
	}
	w.plugs[2].pull()
	for name, data := range files {
		if got, _ := get(t, w.nodes[1], name); !bytes.Equal(got, data) {
			t.Errorf("%q differs after a death", name)
		}
	}
	infos, _, err := w.nodes[0].List(t.Context(), "")
	if err != nil || len(infos) != 3 || infos[0].Name != "dir/odd" {
		t.Errorf("List = %+v, %v", infos, err)
	}
}
