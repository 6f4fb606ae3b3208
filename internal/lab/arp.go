//go:build linux

package lab

import "encoding/binary"

// Sizes and offsets of what the switch looks at: Ethernet, and ARP for IPv4
// over it (RFC 826).
const (
	etherHeader = 14
	ipHeader    = 20
	arpSize     = etherHeader + 28

	etherTypeARP = 0x0806
	arpRequest   = 1
	arpAnswer    = 2
)

// hardware is the Ethernet address of a namespace, whatever its IP address.
func hardware(id int) [6]byte { return [6]byte{2, network, 0, 0, byte(id >> 8), byte(id)} }

// receiver returns the namespace, 1 to n, that a frame is for. It reports
// false for ARP, broadcasts and what is for nobody here.
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
	id := int(binary.BigEndian.Uint16(wanted[2:]))
	if wanted[0] != 10 || wanted[1] < network || id < 1 || id > n || id == self {
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
