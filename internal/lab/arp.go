//go:build linux

package lab

import (
	"encoding/binary"
	"net/netip"
)

// Sizes and offsets of what the switch looks at: Ethernet, ARP for IPv4 over it
// (RFC 826), and neighbour discovery of IPv6 (RFC 4861).
const (
	etherHeader = 14
	ipHeader    = 20
	arpSize     = etherHeader + 28

	etherTypeARP = 0x0806
	arpRequest   = 1
	arpAnswer    = 2

	etherTypeIPv6 = 0x86dd
	ip6Header     = 40
	icmp6         = 58
	ndpSize       = etherHeader + ip6Header + 24
	ndpRequest    = 135
	ndpAnswer     = 136
)

// hardware is the Ethernet address of a namespace, whatever its IP address.
func hardware(id int) [6]byte { return [6]byte{2, network, 0, 0, byte(id >> 8), byte(id)} }

// holder returns the namespace, 1 to n, that an address is for, whether that
// has it or not: 10.K.ID from the number of the network on, or 2001:db8::K:0:ID.
func holder(addr netip.Addr, n int) (id int, ok bool) {
	b := addr.AsSlice()
	if len(b) == 0 {
		return 0, false
	}
	id = int(binary.BigEndian.Uint16(b[len(b)-2:]))
	inside := addr.Is4() && b[0] == 10 && b[1] >= network || addr.Is6() && [4]byte(b) == [4]byte{0x20, 0x01, 0x0d, 0xb8}
	return id, inside && id >= 1 && id <= n
}

// receiver returns the namespace, 1 to n, that a frame is for. It reports
// false for ARP, broadcasts, multicasts and what is for nobody here.
func receiver(frame []byte, n int) (id int, ok bool) {
	if len(frame) < etherHeader || binary.BigEndian.Uint16(frame[12:]) == etherTypeARP {
		return 0, false
	}
	id = int(binary.BigEndian.Uint16(frame[4:]))
	return id, id >= 1 && id <= n && [6]byte(frame) == hardware(id)
}

// arpReply returns the answer to an ARP request of a namespace for another
// one's address, or nil if the frame is none. The switch answers by itself:
// under a rule, ARP would be what is tested, with its retries of a second.
func arpReply(frame []byte, self, n int) []byte {
	if len(frame) < arpSize || binary.BigEndian.Uint16(frame[12:]) != etherTypeARP ||
		binary.BigEndian.Uint16(frame[20:]) != arpRequest {
		return nil
	}
	wanted := frame[38:42]
	id, ok := holder(netip.AddrFrom4([4]byte(wanted)), n)
	if !ok || id == self {
		return nil // the kernel probes its own address, too
	}
	hw := hardware(id)
	r := make([]byte, arpSize)
	copy(r, frame[6:12])         // to the asker
	copy(r[6:], hw[:])           // from the wanted
	copy(r[12:], frame[12:20])   // Ethernet type, ARP's types and sizes
	r[21] = arpAnswer            //
	copy(r[22:], hw[:])          // the wanted has this address,
	copy(r[28:], wanted)         //
	copy(r[32:42], frame[22:32]) // says it to the asker
	return r
}

// ndpReply is arpReply for IPv6: the answer to a neighbour solicitation.
func ndpReply(frame []byte, self, n int) []byte {
	if len(frame) < ndpSize || binary.BigEndian.Uint16(frame[12:]) != etherTypeIPv6 ||
		frame[20] != icmp6 || frame[etherHeader+ip6Header] != ndpRequest {
		return nil
	}
	wanted := frame[etherHeader+ip6Header+8 : ndpSize]
	id, ok := holder(netip.AddrFrom16([16]byte(wanted)), n)
	asker := frame[22:38]
	if !ok || id == self || netip.AddrFrom16([16]byte(asker)).IsUnspecified() {
		return nil
	}
	hw := hardware(id)
	r := make([]byte, 0, ndpSize+8)
	r = append(append(r, frame[6:12]...), hw[:]...) // to the asker, from the wanted
	r = append(r, frame[12:18]...)                  // Ethernet type; version, class, flow
	r = append(r, 0, 32, icmp6, 255)                // payload's length, its type, hop limit
	r = append(append(r, wanted...), asker...)
	r = append(r, ndpAnswer, 0, 0, 0, 0x60, 0, 0, 0) // no checksum yet; solicited, override
	r = append(append(r, wanted...), 2, 1)           // option: target's link-layer address
	r = append(r, hw[:]...)
	binary.BigEndian.PutUint16(r[etherHeader+ip6Header+2:], checksum6(r))
	return r
}

// checksum6 is that of the ICMPv6 message in a frame whose own is zero: the
// Internet checksum over it and a pseudo header (RFC 8200, 8.1).
func checksum6(frame []byte) uint16 {
	body := frame[etherHeader+8:] // both addresses, and the message
	sum := uint32(len(body)-32) + icmp6
	for ; len(body) > 1; body = body[2:] {
		sum += uint32(binary.BigEndian.Uint16(body))
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return ^uint16(sum)
}
