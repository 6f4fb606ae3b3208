package sim

import (
	"slices"

	"securepeer/ring"
	"securepeer/wire"
)

// A disk of which some reads fail shows, at each, a part of what it holds or
// nothing, and says so: neither what is missing nor what is there counts then.

// unreadable draws whether a read of the disk fails.
func (p *process) unreadable() bool { return p.world.chance(p.host.disk.unread) }

// unreadCode is CodeUnreadable if a read fails, and otherwise the code given.
func (p *process) unreadCode(otherwise wire.Code) wire.Code {
	if p.unreadable() {
		return wire.CodeUnreadable
	}
	return otherwise
}

// looked reads the versions of a name into an answer.
func (p *process) looked(name string, found *wire.Found) {
	found.Manifests = p.host.disk.newest(name)
	if found.Code = p.unreadCode(found.Code); found.Code == wire.CodeUnreadable {
		found.Manifests = slices.DeleteFunc(found.Manifests, func(wire.Manifest) bool { return p.world.chance(0.5) })
	}
}

// scan answers a ring.Scan.
func (p *process) scan(a ring.Scan) ring.Scanned {
	result := p.host.disk.scan(a)
	if p.unreadable() {
		n := p.world.rand.IntN(len(result.Versions) + 1)
		result.Versions, result.Failed, result.More = result.Versions[:n], true, false
	}
	return result
}
