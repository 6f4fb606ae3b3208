package main

import (
	"errors"
	"strings"
	"testing"

	"securepeer/internal/control"
	"securepeer/node"
)

// The sentences of the classic ring, letter for letter.
func TestSentences(t *testing.T) {
	for _, test := range []struct {
		event node.Event
		want  string
	}{
		{node.Event{Kind: "pings-sent", Peers: []string{"4", "5"}}, "> Ping requests sent to Peers 4 and 5"},
		{node.Event{Kind: "pings-sent", Peers: []string{"4"}}, "> Ping requests sent to Peer 4"},
		{node.Event{Kind: "pings-sent", Peers: []string{"4", "5", "8"}}, "> Ping requests sent to Peers 4, 5 and 8"},
		{node.Event{Kind: "ping-received", Peer: "2"}, "> Ping request message received from Peer 2"},
		{node.Event{Kind: "ping-answered", Peer: "4"}, "> Ping response received from Peer 4"},
		{node.Event{Kind: "join-forwarded", Peer: "15"}, "> Peer 15 Join request forwarded to my successor"},
		{node.Event{Kind: "join-received", Peer: "15"}, "> Peer 15 Join request received"},
		{node.Event{Kind: "join-accepted"}, "> Join request has been accepted"},
		{node.Event{Kind: "first-successor", Peer: "19"}, "> My first successor is Peer 19"},
		{node.Event{Kind: "second-successor", Peer: "2"}, "> My second successor is Peer 2"},
		{node.Event{Kind: "successor-change"}, "> Successor Change request received"},
		{node.Event{Kind: "new-first-successor", Peer: "15"}, "> My new first successor is Peer 15"},
		{node.Event{Kind: "new-second-successor", Peer: "19"}, "> My new second successor is Peer 19"},
		{node.Event{Kind: "departing", Peer: "9"}, "> Peer 9 will depart from the network"},
		{node.Event{Kind: "not-alive", Peer: "14"}, "> Peer 14 is no longer alive"},
		{node.Event{Kind: "store-forwarded", Name: "2067"}, "> Store 2067 request forwarded to my successor"},
		{node.Event{Kind: "store-accepted", Name: "2067"}, "> Store 2067 request accepted"},
		{node.Event{Kind: "request-sent", Name: "4103"}, "> File request for 4103 has been sent to my successor"},
		{node.Event{Kind: "not-stored-here", Name: "4103"}, "> Request for File 4103 has been received, but the file is not stored here"},
		{node.Event{Kind: "stored-here", Name: "4103"}, "> File 4103 is stored here"},
		{node.Event{Kind: "sending-file", Name: "4103", Peer: "2"}, "> Sending file 4103 to Peer 2"},
		{node.Event{Kind: "file-sent", Name: "4103", Peer: "2"}, "> The file has been sent"},
		{node.Event{Kind: "had-file", Name: "4103", Peer: "8"}, "> Peer 8 had File 4103"},
		{node.Event{Kind: "receiving-file", Name: "4103", Peer: "8"}, "> Receiving File 4103 from Peer 8"},
		{node.Event{Kind: "file-received", Name: "4103", Peer: "8"}, "> File 4103 received"},
	} {
		got, _, ok := sentence(control.Event{Event: test.event})
		if !ok || got != test.want {
			t.Errorf("sentence(%s) = %q, %t, want %q", test.event.Kind, got, ok, test.want)
		}
	}
}

func TestSentenceQuotesWhatOthersChose(t *testing.T) {
	got, _, _ := sentence(control.Event{Event: node.Event{Kind: "store-accepted", Name: "PEER\x1b[2J"}})
	if want := `> Store "PEER\x1b[2J" request accepted`; got != want {
		t.Errorf("sentence = %q, want %q", got, want)
	}
}

func TestSentenceOfAnUnknownKind(t *testing.T) {
	if text, _, ok := sentence(control.Event{Event: node.Event{Kind: "of-a-later-version"}}); ok {
		t.Errorf("sentence = %q, want none", text)
	}
}

func TestSentencesAreShownBySwitch(t *testing.T) {
	shown := func(o startOptions) map[string]bool {
		kinds := make(map[string]bool)
		for kind, s := range sentences {
			if o.shows(s.detail) {
				kinds[kind] = true
			}
		}
		return kinds
	}
	plain := shown(startOptions{})
	if plain["pings-sent"] || plain["ping-received"] || plain["ping-answered"] || plain["member-seen"] || !plain["join-received"] {
		t.Errorf("without switches %v are shown", plain)
	}
	if got := shown(startOptions{requests: true}); !got["pings-sent"] || !got["ping-received"] || got["ping-answered"] {
		t.Errorf("with --show-ping-requests %v are shown", got)
	}
	if got := shown(startOptions{responses: true}); !got["ping-answered"] || got["pings-sent"] {
		t.Errorf("with --show-ping-responses %v are shown", got)
	}
	if got := shown(startOptions{debug: true}); !got["member-seen"] || got["pings-sent"] {
		t.Errorf("with --debug %v are shown", got)
	}
}

// TestStatTellsCatchingUpFromSilence: a peer that answered is not told as one
// that is away.
func TestStatTellsCatchingUpFromSilence(t *testing.T) {
	silent, behind, neither := node.HolderStat{Peer: "ann", Silent: true, Reason: node.Silent}, node.HolderStat{Peer: "bob", Behind: true, Reason: node.CatchingUp}, node.HolderStat{Peer: "eve"}
	ill := node.HolderStat{Peer: "zoe", Reason: node.Unreadable}
	for _, test := range []struct {
		holders []node.HolderStat
		code    exitCode
		want    []string
		never   string
	}{
		{[]node.HolderStat{neither}, exitNotFound, []string{"not in the ring"}, "nobody"},
		{[]node.HolderStat{neither, behind}, exitUnavailable, []string{"still catching up: bob", "nobody is away"}, "answer"},
		{[]node.HolderStat{silent, neither}, exitUnavailable, []string{"no answer from ann", "start"}, "catching"},
		{[]node.HolderStat{neither, ill}, exitUnavailable, []string{"zoe cannot read its disk", "securepeer status on zoe"}, "catching"},
		{[]node.HolderStat{behind, ill}, exitUnavailable, []string{"zoe cannot read its disk", "still catching up: bob", "securepeer status on zoe"}, "answer"},
		{[]node.HolderStat{silent, behind}, exitUnavailable, []string{"no answer from ann", "still catching up: bob", "start"}, "away"},
	} {
		err := absent(control.Stat{Name: "a", Holders: test.holders})
		var f *fault
		if !errors.As(err, &f) || f.code != test.code {
			t.Errorf("%v: %v, want exit code %d", test.holders, err, test.code)
			continue
		}
		text := f.Error() + "; " + f.hint
		for _, want := range test.want {
			if !strings.Contains(text, want) {
				t.Errorf("%v: %q does not say %q", test.holders, text, want)
			}
		}
		if strings.Contains(text, test.never) || strings.Contains(text, "eve") {
			t.Errorf("%v: %q says %q, or names eve", test.holders, text, test.never)
		}
	}
}
