package main

import (
	"strings"

	"securepeer/internal/control"
)

// detail says which switch of start shows a sentence.
type detail uint8

const (
	always        detail = iota
	pingRequests         // --show-ping-requests
	pingResponses        // --show-ping-responses
	debugging            // --debug: what the classic ring has no sentence for
)

// sentences are the words for what happens at a peer. Those of the classic
// ring are exactly its own. PEER, PEERS and NAME stand for the event's.
var sentences = map[string]struct {
	detail detail
	text   string
}{
	"pings-sent":           {pingRequests, "> Ping requests sent to PEERS"},
	"ping-received":        {pingRequests, "> Ping request message received from PEER"},
	"ping-answered":        {pingResponses, "> Ping response received from PEER"},
	"join-forwarded":       {always, "> PEER Join request forwarded to my successor"},
	"join-received":        {always, "> PEER Join request received"},
	"join-accepted":        {always, "> Join request has been accepted"},
	"first-successor":      {always, "> My first successor is PEER"},
	"second-successor":     {always, "> My second successor is PEER"},
	"successor-change":     {always, "> Successor Change request received"},
	"new-first-successor":  {always, "> My new first successor is PEER"},
	"new-second-successor": {always, "> My new second successor is PEER"},
	"departing":            {always, "> PEER will depart from the network"},
	"not-alive":            {always, "> PEER is no longer alive"},
	"store-forwarded":      {always, "> Store NAME request forwarded to my successor"},
	"store-accepted":       {always, "> Store NAME request accepted"},
	"request-sent":         {always, "> File request for NAME has been sent to my successor"},
	"not-stored-here":      {always, "> Request for File NAME has been received, but the file is not stored here"},
	"stored-here":          {always, "> File NAME is stored here"},
	"sending-file":         {always, "> Sending file NAME to PEER"},
	"file-sent":            {always, "> The file has been sent"},
	"had-file":             {always, "> PEER had File NAME"},
	"receiving-file":       {always, "> Receiving File NAME from PEER"},
	"file-received":        {always, "> File NAME received"},
	"returned":             {debugging, "> PEER is alive again"},
	"member-seen":          {debugging, "> PEER is in the ring"},
	"member-gone":          {debugging, "> PEER is no longer in the ring"},
	"key-runs-twice":       {debugging, "> The key of PEER is used by two processes"},
	"gap":                  {debugging, "> More happened than could be shown"},
	"flood":                {always, "> More came of PEER than is shown"},
}

// sentence returns the words for an event, and which switch shows them. Not
// ok: there are none.
func sentence(e control.Event) (text string, d detail, ok bool) {
	s, ok := sentences[e.Kind]
	if !ok {
		return "", 0, false
	}
	words := strings.NewReplacer("PEERS", peers(e.Peers), "PEER", peers([]string{e.Peer}), "NAME", name(e.Name))
	return words.Replace(s.text), s.detail, true
}

// peers is "Peer 4", "Peers 4 and 5", "Peers 4, 5 and 8". An unknown one is
// "Peer ??".
func peers(list []string) string {
	shown := make([]string, len(list))
	for i, p := range list {
		if shown[i] = name(p); p == "" {
			shown[i] = unknownPeer
		}
	}
	switch n := len(shown); n {
	case 0:
		return "no Peer"
	case 1:
		return "Peer " + shown[0]
	default:
		return "Peers " + strings.Join(shown[:n-1], ", ") + " and " + shown[n-1]
	}
}

// unknownPeer stands for a neighbour that is not known, or not there.
const unknownPeer = "??"
