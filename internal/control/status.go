package control

import "securepeer/node"

func newStatus(s node.Status) Status {
	members := newMembers(s.Peers)
	for i := range members {
		if members[i].Self {
			members[i].State = s.State // it has not met itself before it is in the ring
		}
	}
	return Status{
		Schema:      SchemaStatus,
		Ring:        s.Ring,
		ID:          uint16(s.ID),
		Name:        s.Name,
		Position:    uint64(s.Position),
		Listen:      s.Listen,
		State:       s.State,
		Ready:       s.Ready,
		Behind:      s.Behind,
		Stopping:    s.Stopping,
		Uptime:      s.Uptime.Seconds(),
		Incarnation: s.Incarnation,
		View:        s.View,
		Roster: Roster{
			Serial:   s.RosterSerial,
			Digest:   s.RosterDigest,
			Space:    s.Space,
			Copies:   s.Copies,
			Interval: s.Interval.Seconds(),
			Grace:    s.Grace.Seconds(),
		},
		Successors:   list(s.Successors),
		Predecessors: list(s.Predecessors),
		Circle:       list(s.Circle),
		Cut:          s.Cut,
		Warnings:     list(s.Warnings),
		Store: Store{
			ID:       s.Store.ID,
			Versions: s.Store.Versions,
			Bytes:    s.Store.Bytes,
			Counting: s.Store.Counting,
			Free:     s.Store.Free,
			Total:    s.Store.Total,
			Problem:  s.Store.Problem,

			Durable:    durable(s.Store.Doubt),
			FileSystem: s.Store.Doubt,

			Unfinished: list(s.Store.Unfinished),
		},
		Moving:   s.Moving,
		BytesIn:  s.BytesIn,
		BytesOut: s.BytesOut,
		Refused:  list(s.Refused),
		Members:  members,
		Revoked:  newRevoked(s.Revoked),
	}
}

func durable(doubt string) Durable {
	if doubt == "" {
		return DurableYes
	}
	return DurableUnknown
}

func newRevoked(revoked []node.RevokedStatus) []Revoked {
	out := make([]Revoked, len(revoked))
	for i, r := range revoked {
		out[i] = Revoked{uint16(r.ID), r.Name, r.Key}
	}
	return out
}

func newMembers(peers []node.PeerStatus) []Member {
	members := make([]Member, len(peers))
	for i, p := range peers {
		members[i] = Member{
			ID:          uint16(p.ID),
			Name:        p.Name,
			Key:         p.Key,
			Address:     p.Address,
			Position:    uint64(p.Position),
			State:       p.State,
			Incarnation: p.Incarnation,
			Self:        p.Self,
			InRing:      p.InRing,
			Unreachable: p.Unreachable,
			Suspect:     p.Suspect,
			Linked:      p.Linked,
			Steward:     p.Steward,
			Drain:       p.Drain,
			Why:         string(p.Why),
			Gone:        p.Gone,
			GoneBy:      list(p.GoneBy),
			Since:       p.Out.Seconds(),
			Silence:     p.Silence.Seconds(),
			RTT:         p.RTT.Seconds(),
			OtherRoster: p.OtherRoster,
			Gives:       p.Gives,
			Takes:       p.Takes,
			Slow:        p.Slow,
			Refused:     p.Refused,
			Problem:     p.Problem,
		}
		if p.Silence < 0 {
			members[i].Silence = -1
		}
	}
	return members
}

func newRing(s node.Status) Ring {
	r := Ring{Schema: SchemaRing, Ring: s.Ring, Self: s.Name, Circle: list(s.Circle), Cut: s.Cut,
		Unmonitored: []string{}, Absent: []Absent{}}
	for _, p := range s.Peers {
		if !p.InRing {
			r.Unmonitored = append(r.Unmonitored, p.Name)
			r.Absent = append(r.Absent, Absent{p.Name, string(p.Why), p.Gone, p.Out.Seconds()})
		}
	}
	return r
}

// list is s, never nil: its JSON is [] where there is nothing.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
