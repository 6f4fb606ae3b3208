//go:build linux

package lab

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
)

// request is an ARP request of namespace from for an address.
func request(from int, ip [4]byte) []byte {
	hw := hardware(from)
	b := bytes.Repeat([]byte{0xff}, 6)
	b = append(b, hw[:]...)
	b = binary.BigEndian.AppendUint16(b, etherTypeARP)
	b = append(b, 0, 1, 8, 0, 6, 4, 0, arpRequest)
	b = append(b, hw[:]...)
	b = append(b, Addr(from).AsSlice()...)
	b = append(b, 0, 0, 0, 0, 0, 0)
	return append(b, ip[:]...)
}

// TestARP: the switch answers for each address of each other namespace, for
// nothing else, and the answer is the one of RFC 826: halves exchanged, the
// wanted address filled in.
func TestARP(t *testing.T) {
	for _, c := range []struct {
		ip [4]byte
		id int // 0: no answer
	}{
		{[4]byte{10, network, 0, 1}, 0}, // its own
		{[4]byte{10, network, 0, 2}, 2}, {[4]byte{10, network, 1, 44}, 300},
		{[4]byte{10, 255, 0, 3}, 3}, // an alias
		{[4]byte{10, network, 1, 45}, 0}, {[4]byte{10, network, 0, 0}, 0},
		{[4]byte{10, network - 1, 0, 2}, 0}, {[4]byte{11, network, 0, 2}, 0},
	} {
		req := request(1, c.ip)
		got := arpReply(req, 1, 300)
		if c.id == 0 {
			if got != nil {
				t.Errorf("%v: answered %x", c.ip, got)
			}
			continue
		}
		want, hw, asker := bytes.Clone(req), hardware(c.id), hardware(1)
		copy(want, asker[:])
		copy(want[6:], hw[:])
		want[21] = arpAnswer
		copy(want[22:], hw[:])
		copy(want[28:], c.ip[:])
		copy(want[32:], asker[:])
		copy(want[38:], Addr(1).AsSlice())
		if !bytes.Equal(got, want) {
			t.Errorf("%v: answered %x, want %x", c.ip, got, want)
		}
		for n := range len(req) {
			if arpReply(req[:n], 1, 300) != nil {
				t.Errorf("the first %d bytes of a request are answered", n)
			}
		}
		if arpReply(got, 1, 300) != nil {
			t.Error("an answer is answered")
		}
	}
}

// solicitation is a neighbour solicitation of namespace from for an address.
func solicitation(from int, wanted netip.Addr) []byte {
	hw, group, a := hardware(from), netip.MustParseAddr("ff02::1:ff00:2").As16(), wanted.As16()
	self := Addr6(from).As16()
	b := append([]byte{0x33, 0x33, 0xff, 0, 0, 2}, hw[:]...)
	b = binary.BigEndian.AppendUint16(b, etherTypeIPv6)
	b = append(b, 0x60, 0, 0, 0, 0, 32, icmp6, 255)
	b = append(append(b, self[:]...), group[:]...)
	b = append(b, ndpRequest, 0, 0, 0, 0, 0, 0, 0)
	b = append(append(b, a[:]...), 1, 1)
	return append(b, hw[:]...)
}

// TestNeighbourDiscovery: the answer is the one of RFC 4861, 4.4: the wanted
// address speaks, gives its link-layer address, and the checksum is right.
func TestNeighbourDiscovery(t *testing.T) {
	for _, c := range []struct {
		addr netip.Addr
		id   int // 0: no answer
	}{
		{Addr6(1), 0}, // its own
		{Addr6(2), 2}, {Addr6(300), 300}, {Alias6(3, 1), 3}, {Addr6(301), 0}, {Addr6(0), 0},
		{netip.MustParseAddr("2001:db9::2"), 0}, {netip.MustParseAddr("fe80::2"), 0},
	} {
		req := solicitation(1, c.addr)
		got := ndpReply(req, 1, 300)
		if c.id == 0 {
			if got != nil {
				t.Errorf("%s: answered %x", c.addr, got)
			}
			continue
		}
		hw, asker, self, a := hardware(c.id), hardware(1), Addr6(1).As16(), c.addr.As16()
		want := append(append(asker[:], hw[:]...), 0x86, 0xdd, 0x60, 0, 0, 0, 0, 32, 58, 255)
		want = append(append(want, a[:]...), self[:]...)
		want = append(want, 136, 0, 0, 0, 0x60, 0, 0, 0)
		want = append(append(append(want, a[:]...), 2, 1), hw[:]...)
		if checksum6(got) != 0 {
			t.Errorf("%s: the checksum is wrong: %x is left", c.addr, checksum6(got))
		}
		if len(got) == len(want) {
			copy(want[56:58], got[56:58]) // the checksum
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: answered %x, want %x", c.addr, got, want)
		}
		for n := range ndpSize {
			if ndpReply(req[:n], 1, 300) != nil {
				t.Errorf("the first %d bytes of a request are answered", n)
			}
		}
		if ndpReply(got, 1, 300) != nil {
			t.Error("an answer is answered")
		}
	}
}

// TestReceiver: a frame goes to the one namespace that it names.
func TestReceiver(t *testing.T) {
	frame := func(to [6]byte, kind uint16) []byte {
		return binary.BigEndian.AppendUint16(append(to[:], 2, network, 0, 0, 0, 1), kind)
	}
	const ipv4 = 0x0800
	foreign := hardware(2)
	foreign[3] = 1
	for _, c := range []struct {
		frame []byte
		id    int // 0: nobody
	}{
		{frame(hardware(2), ipv4), 2}, {frame(hardware(300), ipv4), 300},
		{frame(hardware(301), ipv4), 0}, {frame(hardware(0), ipv4), 0},
		{frame(foreign, ipv4), 0}, {frame([6]byte{255, 255, 255, 255, 255, 255}, ipv4), 0},
		{frame(hardware(2), etherTypeARP), 0}, {frame(hardware(2), ipv4)[:etherHeader-1], 0}, {nil, 0},
	} {
		if id, ok := receiver(c.frame, 300); ok != (c.id != 0) || ok && id != c.id {
			t.Errorf("%x is for %d (%v), want %d", c.frame, id, ok, c.id)
		}
	}
}
