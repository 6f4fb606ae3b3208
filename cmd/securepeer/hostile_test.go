package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"securepeer/internal/control"
	"securepeer/node"
)

// fakePeer answers in a folder as no peer of ours would.
func fakePeer(t *testing.T, answer http.HandlerFunc) (dir string) {
	t.Helper()
	dir = t.TempDir()
	listener, err := control.Listen(dir)
	if err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: listener, Config: &http.Server{Handler: answer}}
	server.Start()
	t.Cleanup(server.Close)
	return dir
}

// typed runs a command as if typed, and returns what it wrote.
func typed(ctx context.Context, args ...string) (out, errs string, code exitCode) {
	var stdout, stderr bytes.Buffer
	c := &console{in: strings.NewReader(""), out: bufio.NewWriter(&stdout), err: &stderr}
	code = conclude(execute(ctx, args, c), c)
	return stdout.String(), stderr.String(), code
}

const evil = "\x1b[2J\x07\u202e\u009b\x7f\r\nx\u200b"

// Whatever names the peer, and so the ring behind it, makes up: no control
// character of them is printed, by any command, as text or JSON.
func TestNothingFromElsewhereReachesTheTerminal(t *testing.T) {
	info := node.FileInfo{Name: evil, Writer: evil, Signer: evil, Sum: evil}
	answers := map[string]any{
		"/v1/status": control.Status{Ring: evil, Name: evil, Listen: evil, State: evil, Successors: []string{evil},
			Roster: control.Roster{Digest: evil}, Store: control.Store{Problem: evil}, Refused: []node.Refusal{{Peer: evil, Cause: evil}, {Cause: evil}},
			Cut: true, Revoked: []control.Revoked{{Name: evil, Key: evil}},
			Members: []control.Member{{Name: evil, State: evil, Why: evil, Unreachable: true, Since: 1, Address: evil, Key: evil, Problem: evil}}},
		"/v1/peers": control.Peers{Members: []control.Member{{Name: evil, State: evil, Address: evil, Key: evil, Problem: evil}},
			Revoked: []control.Revoked{{Name: evil, Key: evil}}},
		"/v1/ring": control.Ring{Ring: evil, Self: evil, Circle: []string{evil, "a"}, Unmonitored: []string{evil},
			Cut: true, Absent: []control.Absent{{Name: evil, Why: evil, Since: 1}}},
		"/v1/forget/f":   control.Forget{ForgetResult: node.ForgetResult{Peer: evil, Gone: true}},
		"/v1/forget/g":   control.Forget{ForgetResult: node.ForgetResult{Peer: evil, Said: []string{evil}, Needed: 2}},
		"/v1/leave":      control.Ended{Schema: evil},
		"/v1/files":      control.List{Files: []node.FileInfo{info}, Silent: []string{evil}},
		"/v1/stat/f":     control.Stat{Name: evil, Newest: &info, Holders: []node.HolderStat{{Peer: evil, Versions: []node.FileInfo{info}}}},
		"/v1/stat/none":  control.Stat{Name: evil, Holders: []node.HolderStat{{Peer: evil, Silent: true}}},
		"/v1/lookup/f":   control.Lookup{Name: evil, Owner: evil, Holders: []string{evil}, Path: []string{evil}},
		"/v1/ping/f":     control.Ping{Peer: evil},
		"/v1/events":     control.Event{Event: node.Event{Kind: "had-file", Peer: evil, Peers: []string{evil}, Name: evil}},
		"/v1/files/gone": control.PutResult{PutResult: node.PutResult{Name: evil, Copies: []string{evil}, Wanted: 2}},
	}
	dir := fakePeer(t, func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			w.WriteHeader(http.StatusNotFound)
			answer = control.Error{Code: control.CodeNotFound, Message: evil, Hint: evil, Peer: evil, Peers: []string{evil}, File: evil}
		}
		json.NewEncoder(w).Encode(answer)
	})
	for _, line := range []string{
		"status", "peers", "ring", "ls", "ls -l", "stat f", "stat none", "lookup f --trace", "ping f", "monitor", "rm gone", "rm error",
		"get error", "forget f", "forget g", "stop", "roster reload",
	} {
		args := append(strings.Fields(line), "--dir", dir)
		for _, args := range [][]string{args, append(args, "--json")} {
			out, errs, _ := typed(t.Context(), args...)
			if out+errs == "" {
				t.Errorf("%q wrote nothing", args)
			}
			for _, r := range out + errs {
				if r != '\n' && !visible(r) {
					t.Errorf("%q wrote %q:\n%q\n%q", args, r, out, errs)
					break
				}
			}
		}
	}
}

// sending is a peer that sends half of a file and then does end.
func sending(t *testing.T, end func(http.ResponseWriter, *http.Request)) (dir string) {
	return fakePeer(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Securepeer-File", `{"name":"f","size":10}`)
		w.Header().Set("Trailer", "Securepeer-Result")
		io.WriteString(w, "hello")
		http.NewResponseController(w).Flush()
		end(w, r)
	})
}

func TestGetInTheMiddleOfWhich(t *testing.T) {
	for _, test := range []struct {
		name string
		end  func(cancel func(), w http.ResponseWriter, r *http.Request)
		want exitCode
	}{
		{"Ctrl-C comes", func(cancel func(), _ http.ResponseWriter, r *http.Request) {
			cancel()
			<-r.Context().Done()
		}, exitInterrupted},
		{"the peer dies", func(func(), http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, exitUnavailable},
		{"no holder is left", func(_ func(), w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Securepeer-Result", `{"code":"unavailable","message":"no answer from bob"}`)
		}, exitUnavailable},
		{"the bytes are wrong", func(_ func(), w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Securepeer-Result", `{"code":"integrity","message":"wrong bytes at bob"}`)
		}, exitIntegrity},
		{"the end is missing", func(_ func(), w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Securepeer-Result", `{"schema":"securepeer/get/1"}`)
		}, exitUnavailable},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithCancelCause(t.Context())
			defer cancel(nil)
			dir := sending(t, func(w http.ResponseWriter, r *http.Request) { test.end(func() { cancel(errInterrupted) }, w, r) })
			t.Chdir(t.TempDir())
			_, errs, code := typed(ctx, "get", "f", "--dir", dir)
			if code != test.want || !strings.HasPrefix(errs, "securepeer: error: ") {
				t.Errorf("exit code %d, want %d: %s", code, test.want, errs)
			}
			if left := entries(t, "."); len(left) > 0 {
				t.Errorf("%q are left", left)
			}
		})
	}
}

// The bytes of what will fail may be on standard output; the exit code says so.
func TestGetToStandardOutputThatFails(t *testing.T) {
	dir := sending(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Securepeer-Result", `{"code":"integrity","message":"wrong bytes at bob"}`)
	})
	if out, _, code := typed(t.Context(), "get", "f", "-o", "-", "--dir", dir); out != "hello" || code != exitIntegrity {
		t.Errorf("get = %q, exit code %d, want %d", out, code, exitIntegrity)
	}
}

func TestLeaveEndsAtItsTimeout(t *testing.T) {
	dir := fakePeer(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	if _, errs, code := typed(t.Context(), "leave", "--timeout", "1ms", "--dir", dir); code != exitTimeout {
		t.Errorf("exit code %d, want %d: %s", code, exitTimeout, errs)
	}
}

func TestErrorsAsJSON(t *testing.T) {
	var errs bytes.Buffer
	c := &console{json: true, out: bufio.NewWriter(io.Discard), err: &errs}
	conclude(&fault{exitExists, "do this", errors.New("it is there")}, c)
	if want := `{"schema":"securepeer/error/1","exit":10,"error":"it is there","hint":"do this"}` + "\n"; errs.String() != want {
		t.Errorf("error is %s, want %s", errs.String(), want)
	}
}

// The JSON that commands make themselves, key for key.
func TestJSONOfCommands(t *testing.T) {
	at := time.Date(2026, 11, 22, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		v    any
		want string
	}{
		{ringTable{"securepeer/ring/1", "attic", "a", ringRows([]string{"a", "b"}), []string{"c"}, true, []control.Absent{{Name: "c", Why: "silent", Since: 1.5}}},
			`{"schema":"securepeer/ring/1","ring":"attic","self":"a","peers":[{"peer":"a","predecessors":["","b"],"successors":["b",""]},{"peer":"b","predecessors":["","a"],"successors":["a",""]}],"unmonitored":["c"],"cut":true,"absent":[{"name":"c","why":"silent","gone":false,"since_s":1.5}]}`},
		{download{control.GetResult{Schema: "securepeer/get/1", From: "b", AlsoBy: []string{}}, node.FileInfo{Name: "f", Size: 1, Version: 2, Writer: "a", Signer: "a", Mode: 420, Mtime: at, Made: at.Add(time.Second), Sum: "9f", Prior: "8e"}, "out"},
			`{"schema":"securepeer/get/1","from":"b","one_answer":false,"also_by":[],"file":{"name":"f","size":1,"version":2,"writer":"a","signer":"a","mode":420,"mtime":"2026-11-22T12:00:00Z","made":"2026-11-22T12:00:01Z","sum":"9f","prior":"8e"},"path":"out"}`},
		{build{"securepeer/version/1", "v1.0.0", "abc", "go1.26", "linux/amd64"},
			`{"schema":"securepeer/version/1","version":"v1.0.0","commit":"abc","go":"go1.26","system":"linux/amd64"}`},
		{publicKey{"securepeer/pubkey/1", "sp1"}, `{"schema":"securepeer/pubkey/1","key":"sp1"}`},
		{rosterJSON{"securepeer/roster/1", "attic", 64, 3, 3, 1, 300, "hop", "dc", []string{}, []memberJSON{{1, "a", "sp1", "h:1", 1<<64 - 1, true, false}}, []revokedJSON{{2, "b", "sp1"}}},
			`{"schema":"securepeer/roster/1","ring":"attic","space":64,"copies":3,"observers":3,"interval":1,"grace":300,"route":"hop","digest":"dc","admins":[],"members":[{"id":1,"name":"a","key":"sp1","address":"h:1","position":"18446744073709551615","steward":true,"drain":false}],"revoked":[{"id":2,"name":"b","key":"sp1"}]}`},
	} {
		b, err := json.Marshal(test.v)
		if err != nil || string(b) != test.want {
			t.Errorf("JSON is\n%s, %v, want\n%s", b, err, test.want)
		}
	}
}

// TestNewerVersionThatCannotBeHadIsSaid: a user that is given an older one than a
// member shows is told, and a stat says what one alone shows.
func TestNewerVersionThatCannotBeHadIsSaid(t *testing.T) {
	var out, errs bytes.Buffer
	a := &app{console: &console{out: bufio.NewWriter(&out), err: &errs}}
	f := node.FileInfo{Name: "f", Version: 3, Writer: "alice"}
	got := download{control.GetResult{AlsoBy: []string{"bob", "dave"}, Claimed: []node.Claim{
		{Version: 7, Writer: "alice", Peers: []string{"carol"}},
		{Version: 6, Writer: "bob", Peers: []string{"bob", "carol"}}}}, f, "-"}
	if err := a.got(got); err != nil {
		t.Fatal(err)
	}
	a.showStat(control.Stat{Name: "f", Newest: &f, OnlyBy: "carol"})
	want := `securepeer: carol alone says that there is a newer version 7 of f; it can't be had now
securepeer: bob carol say that there is a newer version 6 of f by bob; it can't be had now
securepeer: there is also a f by dave: securepeer get --by dave
securepeer: carol alone says that it has version 3 by alice
`
	if errs.String() != want {
		t.Errorf("said\n%swant\n%s", errs.String(), want)
	}
}
