//go:build linux

package lab

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Wire is the network of an address: all namespaces are on one wire.
func Wire(addr netip.Addr) netip.Prefix {
	bits := 32
	if addr.Is4() {
		bits = 8
	}
	return netip.PrefixFrom(addr, bits).Masked()
}

// RouteKind is what the kernel of a namespace does with packets to somewhere.
// Each but the first is an error of its own to a program that sends.
type RouteKind uint8

// The kinds, by the numbers of rtnetlink(7).
const (
	OnWire      RouteKind = unix.RTN_UNICAST     // sent over the namespace's interface
	Unreachable RouteKind = unix.RTN_UNREACHABLE // EHOSTUNREACH
	Prohibited  RouteKind = unix.RTN_PROHIBIT    // EACCES, as behind a firewall
	NoRoute     RouteKind = unix.RTN_THROW       // ENETUNREACH, as without a line
)

// netlink asks the kernel of the calling thread's namespace for one change of
// links, addresses or routes, rtnetlink(7), and returns what it says.
func netlink(kind, flags uint16, body []byte) error {
	s, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return err
	}
	defer unix.Close(s)
	ne := binary.NativeEndian
	msg := ne.AppendUint32(nil, uint32(unix.SizeofNlMsghdr+len(body)))
	msg = ne.AppendUint16(msg, kind)
	msg = ne.AppendUint16(msg, flags|unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	msg = append(msg, make([]byte, 8)...) // sequence, port: one question, one asker
	if err := unix.Sendto(s, append(msg, body...), 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return err
	}
	answer := make([]byte, 4096)
	n, _, err := unix.Recvfrom(s, answer, 0)
	switch {
	case err != nil:
		return err
	case n < unix.SizeofNlMsghdr+4 || ne.Uint16(answer[4:]) != unix.NLMSG_ERROR:
		return io.ErrUnexpectedEOF
	}
	if errno := -int32(ne.Uint32(answer[unix.SizeofNlMsghdr:])); errno != 0 {
		return unix.Errno(errno)
	}
	return nil
}

// attribute appends one to a netlink message: len 2 | type 2 | data, padded.
func attribute(b []byte, kind uint16, data []byte) []byte {
	b = binary.NativeEndian.AppendUint16(b, uint16(4+len(data)))
	b = binary.NativeEndian.AppendUint16(b, kind)
	return append(append(b, data...), make([]byte, -len(data)&3)...)
}

// family of an address, as the kernel numbers it.
func family(addr netip.Addr) byte {
	if addr.Is4() {
		return unix.AF_INET
	}
	return unix.AF_INET6
}

// linkUp turns an interface of the calling thread's namespace on.
func linkUp(name string) error {
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	body := binary.NativeEndian.AppendUint32(make([]byte, 4), uint32(dev.Index)) // family 1, pad 1, type 2 | index 4
	body = binary.NativeEndian.AppendUint32(body, unix.IFF_UP)                   // flags
	body = binary.NativeEndian.AppendUint32(body, unix.IFF_UP)                   // those that change
	return netlink(unix.RTM_NEWLINK, 0, body)
}

// setAddr gives an interface of the calling thread's namespace an address, or
// with RTM_DELADDR takes it away.
func setAddr(kind uint16, name string, addr netip.Addr) error {
	dev, err := net.InterfaceByName(name)
	if err != nil {
		return err
	}
	var flags uint16
	if kind == unix.RTM_NEWADDR {
		flags = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	}
	// Nobody else can have it: no detection of duplicates, which takes seconds.
	body := []byte{family(addr), byte(Wire(addr).Bits()), unix.IFA_F_NODAD, unix.RT_SCOPE_UNIVERSE}
	body = binary.NativeEndian.AppendUint32(body, uint32(dev.Index))
	body = attribute(body, unix.IFA_LOCAL, addr.AsSlice())
	body = attribute(body, unix.IFA_ADDRESS, addr.AsSlice())
	if err := netlink(kind, flags, body); err != nil {
		return fmt.Errorf("changing address %s of %s: %w", addr, name, err)
	}
	return nil
}

// setRoute adds a route of the calling thread's namespace, or with
// RTM_DELROUTE takes it away.
func setRoute(kind uint16, to netip.Prefix, r RouteKind) error {
	dev, err := net.InterfaceByName(device)
	if err != nil {
		return err
	}
	var flags uint16
	if kind == unix.RTM_NEWROUTE {
		flags = unix.NLM_F_CREATE | unix.NLM_F_EXCL
	}
	scope := byte(unix.RT_SCOPE_UNIVERSE)
	if r == OnWire {
		scope = unix.RT_SCOPE_LINK
	}
	body := []byte{family(to.Addr()), byte(to.Bits()), 0, 0, unix.RT_TABLE_MAIN, unix.RTPROT_STATIC, scope, byte(r), 0, 0, 0, 0}
	if kind == unix.RTM_DELROUTE {
		body[5], body[6] = unix.RTPROT_UNSPEC, unix.RT_SCOPE_NOWHERE // whoever made it
	}
	body = attribute(body, unix.RTA_DST, to.Masked().Addr().AsSlice())
	if r == OnWire {
		body = attribute(body, unix.RTA_OIF, binary.NativeEndian.AppendUint32(nil, uint32(dev.Index)))
	}
	if err := netlink(kind, flags, body); err != nil {
		return fmt.Errorf("changing the route to %s: %w", to, err)
	}
	return nil
}

// AddAddr gives a namespace one more address, which must be one of those that
// the switch knows: [Addr], [Addr6], [Alias] or [Alias6]. With its first IPv6
// address a namespace begins to speak IPv6.
func (l *Lab) AddAddr(id int, addr netip.Addr) error {
	if is, ok := holder(addr, len(l.ports)-1); !ok || is != id {
		return fmt.Errorf("%s is no address of namespace %d", addr, id)
	}
	return l.Do(id, func() error {
		if addr.Is6() {
			if err := enableIPv6(); err != nil {
				return err
			}
		}
		return setAddr(unix.RTM_NEWADDR, device, addr)
	})
}

// DropAddr takes an address of a namespace away. Packets that it sent
// from there get no answer any more.
func (l *Lab) DropAddr(id int, addr netip.Addr) error {
	return l.Do(id, func() error { return setAddr(unix.RTM_DELADDR, device, addr) })
}

// AddRoute has the kernel of a namespace do that with packets to somewhere,
// DropRoute ends it. The route to the whole wire is there from the beginning.
func (l *Lab) AddRoute(id int, to netip.Prefix, r RouteKind) error {
	return l.Do(id, func() error { return setRoute(unix.RTM_NEWROUTE, to, r) })
}

// DropRoute is the opposite of AddRoute.
func (l *Lab) DropRoute(id int, to netip.Prefix, r RouteKind) error {
	return l.Do(id, func() error { return setRoute(unix.RTM_DELROUTE, to, r) })
}

// enableIPv6 turns it on in the calling thread's namespace, without the link's
// own addresses: what is on the wire is of the addresses that a test gives.
func enableIPv6() error {
	return errors.Join(
		sysctl("ipv6/conf/"+device+"/addr_gen_mode", "1"),
		sysctl("ipv6/conf/"+device+"/accept_ra", "0"),
		sysctl("ipv6/conf/"+device+"/router_solicitations", "0"),
		sysctl("ipv6/conf/all/disable_ipv6", "0"))
}
