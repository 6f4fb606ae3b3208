package control

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"securepeer/node"
)

var update = flag.Bool("update", false, "write the golden files anew")

// The JSON of each schema, key for key. Within one schema's number a line of
// these files may be added, and none changed or removed.
func TestJSON(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 500, time.UTC)
	info := node.FileInfo{Name: "notes/today", Size: 5, Version: 2, Writer: "alice", Signer: "alice", Mode: 0o640, Mtime: at, Made: at.Add(time.Hour), Sum: "9f2c", Prior: "8e1b"}
	roster := Roster{Serial: 42, Digest: "dcdebe16f391928b", Space: 64, Copies: 3, Interval: 1.5, Grace: 300}
	for name, v := range map[string]any{
		"status": Status{
			Schema: SchemaStatus, Ring: "attic", ID: 14, Name: "alice", Position: 1<<64 - 1, Listen: "192.0.2.1:7460", State: "active",
			Ready: true, Uptime: 3.25, Incarnation: 7, View: "00ff", Roster: roster,
			Successors: []string{"bob"}, Predecessors: []string{"bob"}, Circle: []string{"alice", "bob"}, Cut: true, Warnings: []string{"no route"},
			Store: Store{ID: "ab", Versions: 2, Bytes: 10, Free: 1 << 40, Total: 1 << 41, Durable: DurableUnknown, FileSystem: "tmpfs", Unfinished: []node.Unfinished{}}, Moving: 1, BytesIn: 5, BytesOut: 6,
			Refused: []node.Refusal{{Cause: "bad", Count: 3}}, Members: []Member{{Name: "alice", GoneBy: []string{}}},
			Revoked: []Revoked{{9, "dave", "sp1r0vwrq25"}},
		},
		"peers": Peers{SchemaPeers, []Member{{
			ID: 9, Name: "bob", Key: "sp1qv3k8f0h", Address: "192.0.2.2:7460", Position: 255, State: "active", Incarnation: 3,
			InRing: true, Linked: true, Steward: true, Why: "one-way", GoneBy: []string{"alice"}, Silence: 0.25, RTT: 0.0019, Gives: 102400, Slow: true, Refused: 4, Problem: "why",
		}}, []Revoked{{9, "dave", "sp1r0vwrq25"}}},
		"ring": Ring{SchemaRing, "attic", "alice", []string{"alice", "bob"}, []string{"carol"}, true, []Absent{{"carol", "silent", false, 12.5}}},
		"put": PutResult{SchemaPut, node.PutResult{Name: "notes/today", Version: 2, Size: 5, Sum: "9f2c", Copies: []string{"alice", "bob"}, Wanted: 3,
			Missing: []string{"carol"}, Slow: []string{"carol"}, Newer: 4, NewerRemoved: true, Above: []string{"dave"}, Lacks: lacks(node.Full, "carol")}, 4},
		"rm":       PutResult{SchemaRemove, node.PutResult{Name: "notes/today", Version: 3, Sum: "9f2c", Copies: []string{"alice"}, Wanted: 1, Missing: []string{}, Slow: []string{}}, 0},
		"get":      GetResult{SchemaGet, "bob", true, []string{"carol"}, []node.Claim{{Version: 7, Writer: "alice", Peers: []string{"dave"}}}},
		"ls":       List{SchemaList, []node.FileInfo{info}, []string{"carol"}, []node.Unheard{{Peer: "dave", Reason: node.Unreadable, Why: "dave cannot read its disk"}, {Peer: "erin", Reason: node.Unreadable, Why: "erin cannot read 2 of its files", Files: 2}}},
		"stat":     Stat{SchemaStat, "notes/today", 1<<64 - 1, &info, []node.HolderStat{{Peer: "bob", Home: true, Versions: []node.FileInfo{info}}, {Peer: "carol", Home: true, Reason: node.Unreadable, Versions: []node.FileInfo{}}}, "bob"},
		"lookup":   Lookup{SchemaLookup, "notes/today", 1<<64 - 1, "bob", []string{"bob", "carol"}, []string{"bob"}},
		"ping":     Ping{SchemaPing, "bob", 0.0019},
		"forget":   Forget{SchemaForget, node.ForgetResult{Peer: "bob", Said: []string{"alice"}, Needed: 2}},
		"stop":     Ended{SchemaStop},
		"leave":    Ended{SchemaLeave},
		"progress": Progress{SchemaProgress, true, node.ProgressState{Taken: 5, Waiting: []string{"bob"}}},
		"event":    Event{SchemaEvent, node.Event{Time: at, Kind: "pings-sent", Peers: []string{"bob", "carol"}}},
		"error":    Error{SchemaError, CodeUnavailable, "not now", "try again", "bob", []string{"bob", "carol"}, append(lacks(node.Silent, "bob"), lacks(node.Unreadable, "carol")...), "notes/today"},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := json.MarshalIndent(v, "", "\t")
			if err != nil {
				t.Fatal(err)
			}
			b = append(b, '\n')
			path := filepath.Join("testdata", name+".json")
			if *update {
				if err := os.WriteFile(path, b, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(b, want) {
				t.Errorf("JSON is\n%s\nwant\n%s", b, want)
			}
			if schema := `"schema": "securepeer/` + name + `/1"`; !strings.Contains(string(b), schema) {
				t.Errorf("it does not say %s", schema)
			}
			back := reflect.New(reflect.TypeOf(v))
			if err := json.Unmarshal(b, back.Interface()); err != nil || !reflect.DeepEqual(back.Elem().Interface(), v) {
				t.Errorf("it reads back as %+v, %v", back.Elem(), err)
			}
		})
	}
}

// What the node says and what is sent are one thing: nothing is forgotten.
func TestStatusSaysAllThatTheNodeSays(t *testing.T) {
	got := newStatus(node.Status{
		Name: "a", ID: 1, Ring: "r", Listen: "l", Ready: true, Behind: true, Stopping: true, State: "s", Incarnation: 2, Position: 3,
		Space: 64, Copies: 4, Interval: time.Second, Grace: time.Minute, View: "v", RosterSerial: 5, RosterDigest: "d", Successors: []string{"x"},
		Predecessors: []string{"y"}, Circle: []string{"z"}, Cut: true, Moving: 6, BytesIn: 7, BytesOut: 8, Refused: []node.Refusal{{Count: 1}},
		Uptime: 9 * time.Second, Store: node.StoreStatus{ID: "i", Versions: 1, Bytes: 2, Counting: true, Free: 3, Total: 4, Problem: "p", Doubt: "FAT"},
		Peers: []node.PeerStatus{{
			ID: 1, Name: "n", Key: "k", Address: "a", Position: 2, State: "s", Incarnation: 3, Self: true, InRing: true,
			Unreachable: true, Suspect: true, Linked: true, Steward: true, Drain: true, Silence: time.Second, RTT: time.Second,
			Why: node.WhyOneWay, Gone: true, GoneBy: []string{"b"}, Out: time.Second, OtherRoster: true, Gives: 1, Takes: 2, Slow: true, Refused: 1, Problem: "p",
		}},
		Revoked: []node.RevokedStatus{{ID: 1, Name: "n", Key: "k"}},
	})
	for _, v := range []reflect.Value{reflect.ValueOf(got), reflect.ValueOf(got.Store), reflect.ValueOf(got.Roster), reflect.ValueOf(got.Members[0]), reflect.ValueOf(got.Revoked[0])} {
		for i := range v.NumField() {
			if v.Field(i).IsZero() {
				t.Errorf("%s.%s is not filled", v.Type(), v.Type().Field(i).Name)
			}
		}
	}
	if silent := newMembers([]node.PeerStatus{{Silence: -1}}); silent[0].Silence != -1 {
		t.Errorf("never heard is %v, want -1", silent[0].Silence)
	}
}
