package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// script is what peers say in one step: lines by peer, each peer's in order.
type script map[string][]string

// classicScripts is what belongs to the steps 3 to 7 of the classic ring; all
// other peers say nothing. Step 1 is the list of the peers, step 2 is
// pingScript.
var classicScripts = map[int]script{
	3: {
		"4": {"> Peer 15 Join request forwarded to my successor"},
		"5": {"> Peer 15 Join request forwarded to my successor"},
		"8": {"> Peer 15 Join request forwarded to my successor"},
		"9": {
			"> Peer 15 Join request forwarded to my successor",
			"> Successor Change request received",
			"> My new first successor is Peer 14",
			"> My new second successor is Peer 15",
		},
		"14": {
			"> Peer 15 Join request received",
			"> My new first successor is Peer 15",
			"> My new second successor is Peer 19",
		},
		"15": {
			"> Join request has been accepted",
			"> My first successor is Peer 19",
			"> My second successor is Peer 2",
		},
	},
	4: {
		"8": {
			"> Peer 9 will depart from the network",
			"> My new first successor is Peer 14",
			"> My new second successor is Peer 19",
		},
		"5": {
			"> Peer 9 will depart from the network",
			"> My new first successor is Peer 8",
			"> My new second successor is Peer 14",
		},
	},
	5: {
		"9": {
			"> Peer 14 is no longer alive",
			"> My new first successor is Peer 19",
			"> My new second successor is Peer 2",
		},
		"8": {
			"> Peer 14 is no longer alive",
			"> My new first successor is Peer 9",
			"> My new second successor is Peer 19",
		},
	},
	6: {
		"8":  {"> Store 2067 request forwarded to my successor"},
		"9":  {"> Store 2067 request forwarded to my successor"},
		"14": {"> Store 2067 request forwarded to my successor"},
		"19": {"> Store 2067 request accepted"},
	},
	7: {
		"2": {
			"> File request for 4103 has been sent to my successor",
			"> Peer 8 had File 4103",
			"> Receiving File 4103 from Peer 8",
			"> File 4103 received",
		},
		"4": {"> Request for File 4103 has been received, but the file is not stored here"},
		"5": {"> Request for File 4103 has been received, but the file is not stored here"},
		"8": {
			"> File 4103 is stored here",
			"> Sending file 4103 to Peer 2",
			"> The file has been sent",
		},
	},
}

// pingScript is what belongs to one interval of pings, in the ring that the
// names are in order.
func pingScript(names []string) script {
	all := script{}
	for i, peer := range names {
		at := func(k int) string { return names[(i+k+len(names))%len(names)] }
		all[peer] = []string{
			fmt.Sprintf("> Ping requests sent to Peers %s and %s", at(1), at(2)),
			fmt.Sprintf("> Ping request message received from Peer %s", at(-1)),
			fmt.Sprintf("> Ping request message received from Peer %s", at(-2)),
			fmt.Sprintf("> Ping response received from Peer %s", at(1)),
			fmt.Sprintf("> Ping response received from Peer %s", at(2)),
		}
	}
	return all
}

// order says whether the order of a peer's lines counts. That of pings is
// chance.
type order bool

const (
	ordered   order = true
	unordered order = false
)

// faults says how what was said differs from the script: peer by peer, what is
// missing, what is too much, and what came in another order.
func (want script) faults(got script, o order) []string {
	var peers []string
	for peer := range want {
		peers = append(peers, peer)
	}
	for peer := range got {
		if want[peer] == nil {
			peers = append(peers, peer)
		}
	}
	slices.SortFunc(peers, byNumber)
	var faults []string
	for _, peer := range peers {
		missing, extra := less(want[peer], got[peer]), less(got[peer], want[peer])
		for _, line := range missing {
			faults = append(faults, fmt.Sprintf("missing: [%s] %s", peer, line))
		}
		for _, line := range extra {
			faults = append(faults, fmt.Sprintf("too much: [%s] %s", peer, line))
		}
		if len(missing)+len(extra) == 0 && bool(o) && !slices.Equal(want[peer], got[peer]) {
			faults = append(faults, fmt.Sprintf("in another order: [%s] %s", peer, strings.Join(got[peer], " ")))
		}
	}
	return faults
}

// byNumber orders names that are numbers.
func byNumber(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) }

// less returns a without the lines of b, each as often as it is there.
func less(a, b []string) []string {
	a = slices.Clone(a)
	for _, line := range b {
		if i := slices.Index(a, line); i >= 0 {
			a = slices.Delete(a, i, i+1)
		}
	}
	return a
}
