package node

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"securepeer/crypto"
	"securepeer/keys"
	"securepeer/wire"
)

// law gives nodes a roster that says of members whether they are stewards.
func (b *bubble) law(nodes []*Node, stewards ...wire.ID) *keys.Roster {
	b.t.Helper()
	next := *b.roster
	next.Members = slices.Clone(next.Members)
	for i := range next.Members {
		next.Members[i].Steward = slices.Contains(stewards, next.Members[i].ID)
	}
	for _, n := range nodes {
		if err := n.Reload(&next); err != nil {
			b.t.Fatal(err)
		}
	}
	return &next
}

// onDisk writes a version to a node's disk, as one of an earlier time may lie
// there, whoever has signed it.
func (b *bubble) onDisk(n *Node, signer int, m wire.Manifest, data string) wire.Manifest {
	b.t.Helper()
	w, err := n.disk.Create(-1)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := w.Write([]byte(data)); err != nil {
		b.t.Fatal(err)
	}
	if m.Flags&wire.Tombstone == 0 {
		_, m.Blocks, _ = w.Blocks()
		m.Size = uint64(len(data))
	}
	m = claim(b.secrets[signer], m)
	if code := n.disk.commit(w, b.roster.Space, m); code != wire.CodeOK {
		b.t.Fatalf("code %d", code)
	}
	return m
}

// unblamed wants nothing of what is signed to be counted against these members.
func (b *bubble) unblamed(members ...string) {
	b.t.Helper()
	for _, n := range b.nodes {
		for _, r := range status(b.t, n).Refused {
			if slices.Contains(members, r.Peer) {
				b.t.Errorf("%d blames %+v", n.self, r)
			}
		}
	}
}

// everywhere wants every node to find data under name, and to list all of names
// with nobody silent who runs.
func (b *bubble) everywhere(name, data string, names ...string) {
	b.t.Helper()
	for _, n := range b.nodes {
		if got, _ := get(b.t, n, name); string(got) != data {
			b.t.Errorf("%d gets %q of %q, want %q", n.self, got, name, data)
		}
		files, silent, err := n.List(b.t.Context(), "")
		var listed []string
		for _, f := range files {
			listed = append(listed, f.Name)
		}
		silent = slices.DeleteFunc(silent, func(u Unheard) bool { return u.Peer == fmt.Sprint("n", len(b.nodes)) })
		if err != nil || len(silent) > 0 || !slices.Equal(listed, names) {
			b.t.Errorf("%d lists %q, silent %+v, %v; want %q", n.self, listed, silent, err, names)
		}
	}
}

// TestWhatAFormerStewardRemovedIsThere: a tombstone of a steward who is none any
// more, or was revoked, is left out of each answer, and takes nothing else with
// it, whichever of asker and holder has heard of it first.
func TestWhatAFormerStewardRemovedIsThere(t *testing.T) {
	for _, how := range []string{"demoted", "revoked"} {
		for _, first := range []string{"all", "the asker", "the holders"} {
			t.Run(fmt.Sprint(how, " at ", first), func(t *testing.T) {
				inBubble(t, 4, 4, "copies=2", func(b *bubble) {
					t := b.t
					b.law(b.nodes, 3)
					put(t, b.nodes[1], "shared", []byte("of n1"))
					put(t, b.nodes[1], "theirs", []byte("stays"))
					if _, err := b.nodes[3].Remove(t.Context(), "shared", nil); err != nil {
						t.Fatal(err)
					}
					put(t, b.nodes[2], "shared", []byte("of n2"))
					b.everywhere("shared", "of n2", "shared", "theirs")

					old := b.nodes
					if how == "revoked" {
						old[3].Close()
						b.nodes = old[:3]
					}
					some := map[string][]*Node{"all": b.nodes, "the asker": b.nodes[:1], "the holders": b.nodes[1:]}[first]
					if how == "demoted" {
						b.law(some)
					} else {
						b.revoke(some, 3)
					}
					time.Sleep(time.Minute)
					b.everywhere("shared", "of n2", "shared", "theirs")
					b.unblamed("n0", "n1", "n2")
					if how == "demoted" {
						b.law(b.nodes)
					} else {
						b.revoke(b.nodes, 3)
					}
					time.Sleep(time.Minute)
					f, err := b.nodes[0].Get(t.Context(), "shared", GetOptions{By: "n1"})
					if err != nil || f.Info.Removed || f.Info.Version != 1 {
						t.Errorf("what only the former steward removed: %+v, %v", f, err)
					}
					b.unblamed("n0", "n1", "n2")
				})
			})
		}
	}
}

// revoke gives nodes a roster without a member.
func (b *bubble) revoke(nodes []*Node, id wire.ID) {
	b.t.Helper()
	next := *b.roster
	next.Members = slices.Clone(next.Members)
	i := slices.IndexFunc(next.Members, func(m keys.Member) bool { return m.ID == id })
	m := next.Members[i]
	next.Members = slices.Delete(next.Members, i, i+1)
	next.Revoked = append(slices.Clone(next.Revoked), keys.Revoked{ID: m.ID, Name: m.Name, Key: m.Key})
	for _, n := range nodes {
		if err := n.Reload(&next); err != nil {
			b.t.Fatal(err)
		}
	}
}

// TestStewardWritesInNobodysName: a live version that a steward has signed for
// another is no version of that one, however it comes: offered, put, found, listed,
// or on the disk from a time when that was believed.
func TestStewardWritesInNobodysName(t *testing.T) {
	inBubble(t, 3, 2, "copies=2", func(b *bubble) {
		t, n := b.t, b.nodes[0]
		b.law(b.nodes, 2)
		put(t, b.nodes[1], "mine", []byte("of n1"))
		forged := wire.Manifest{Name: "mine", Version: 9, Writer: 1, Signer: 2}
		for _, n := range b.nodes {
			b.onDisk(n, 2, forged, "planted")
			b.onDisk(n, 2, wire.Manifest{Name: "new", Version: 1, Writer: 1, Signer: 2}, "planted")
		}
		b.everywhere("mine", "of n1", "mine")
		var missing *NotFoundError
		if _, err := n.Get(t.Context(), "new", GetOptions{}); !errors.As(err, &missing) {
			t.Errorf("a file that a steward wrote for another: %v", err)
		}
		b.unblamed("n0", "n1", "n2")

		s := b.speaker(2)
		forged.Size, forged.Blocks = 1, wire.Sum{1}
		forged = claim(s.secret, forged)
		c := s.dialSilently(crypto.Ring)
		if !tell(c, wire.Offer{Req: 77, Source: 2, Manifest: forged}) {
			t.Fatal("not sent")
		}
		for {
			msg, err := readMessage(c)
			if err != nil {
				t.Fatal(err)
			}
			if got, ok := msg.(wire.Confirmed); ok {
				if got != (wire.Confirmed{Req: 77, Code: wire.CodeForbidden}) {
					t.Errorf("the offer is answered with %+v", got)
				}
				break
			}
		}
		c.Close()
		up := s.dialSilently(crypto.Transfer)
		tell(up, wire.Put{Upload: 7, Size: wire.SizeUnknown, Name: "mine", Holders: []wire.ID{0}})
		if _, err := up.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		tell(up, wire.PutEnd{Manifest: forged})
		if msg, err := readMessage(up); err != nil || msg.(wire.PutAck).Code != wire.CodeForbidden {
			t.Errorf("the put is answered with %+v, %v", msg, err)
		}
		up.Close()
		synctest.Wait()
		if got := refusedOf(t, n, "n2"); got != 2 {
			t.Errorf("%d of its messages are counted, want 2", got)
		}
		b.everywhere("mine", "of n1", "mine")
	})
}

// TestOneEntryIsLeftOut: of what others signed and cannot be believed, each alone;
// what else is in the message holds. Only what its sender must have known to be
// wrong is counted against it.
func TestOneEntryIsLeftOut(t *testing.T) {
	inBubble(t, 3, 1, "copies=1", func(b *bubble) {
		t := b.t
		book := b.nodes[0].members.book()
		sign := func(by int, m wire.Manifest) wire.Manifest {
			m.Name, m.Version = "f", 3
			if m.Flags == 0 {
				m.Size, m.Blocks = 1, wire.Sum{1}
			}
			return claim(b.secrets[by], m)
		}
		good := sign(1, wire.Manifest{Writer: 1, Signer: 1})
		empty := sign(1, wire.Manifest{Writer: 1, Signer: 1})
		empty.Size = 0
		row := wire.Row{ID: 1, Incarnation: 3, State: wire.Active}
		row.Sig = b.secrets[1].Sign(row.SignedBytes("test", nil))
		forgedRow, vote := row, wire.Vote{Observer: 1, Member: 2, Incarnation: 3, Verdict: wire.Reachable, Sequence: 1}
		forgedRow.Incarnation++
		vote.Sig = b.secrets[1].Sign(vote.SignedBytes("test", nil))
		forgedVote := vote
		forgedVote.Sequence++
		for name, c := range map[string]struct {
			bad   wire.Manifest
			from  wire.ID
			wrong error
		}{
			"nobody's":                        {sign(1, wire.Manifest{Writer: 9, Signer: 9}), 1, nil},
			"a removal by who is no steward":  {sign(2, wire.Manifest{Writer: 1, Signer: 2, Flags: wire.Tombstone}), 1, nil},
			"the same, by itself":             {sign(2, wire.Manifest{Writer: 1, Signer: 2, Flags: wire.Tombstone}), 2, errSigner},
			"a live one in another's name":    {sign(2, wire.Manifest{Writer: 1, Signer: 2}), 1, nil},
			"one with another's signature":    {sign(2, wire.Manifest{Writer: 1, Signer: 1}), 1, errSignature},
			"one that has and has not blocks": {empty, 1, errBlocks},
		} {
			pays := &account{verifier: b.nodes[0].verify, member: c.from, burst: time.Hour, wait: func(time.Duration) {}}
			check := func(msg wire.Message) wire.Message {
				got, wrong := b.nodes[0].verify.message(book, msg, pays)
				if wrong != c.wrong {
					t.Errorf("%s in %v: %v, want %v", name, msg.Type(), wrong, c.wrong)
				}
				return got
			}
			found := check(wire.Found{Manifests: []wire.Manifest{c.bad, good}}).(wire.Found)
			listed := check(wire.Listed{Manifests: []wire.Manifest{good, c.bad}}).(wire.Listed)
			if !slices.Equal(found.Manifests, []wire.Manifest{good}) || !slices.Equal(listed.Manifests, []wire.Manifest{good}) {
				t.Errorf("%s: found %v, listed %v", name, found.Manifests, listed.Manifests)
			}
			if offer := check(wire.Offer{Manifest: c.bad}); offer != nil {
				t.Errorf("%s is taken as an offer: %v", name, offer)
			}
		}
		got, wrong := b.nodes[0].verify.message(book, wire.Rows{Rows: []wire.Row{forgedRow, row}, Votes: []wire.Vote{vote, forgedVote}}, nil)
		if rows := got.(wire.Rows); wrong != errSignature || !slices.Equal(rows.Rows, []wire.Row{row}) || !slices.Equal(rows.Votes, []wire.Vote{vote}) {
			t.Errorf("rows: %+v, %v", got, wrong)
		}
	})
}
