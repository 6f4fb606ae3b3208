package node

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"

	"securepeer/crypto"
)

// freePortTries is how often a free port is looked for that both TCP and UDP
// have.
const freePortTries = 20

// openSockets opens all sockets, those of them that the caller has not. While
// this machine does not have the address yet, NotYet decides whether to go on.
func (n *Node) openSockets() error {
	if n.config.Listener != nil && n.config.PacketConn != nil {
		n.listener = crypto.Listen(noting{n.config.Listener, n.short}, n.crypto)
		n.datagrams.open = []*udpSocket{{PacketConn: n.config.PacketConn}}
		return nil
	}
	for {
		err := n.listen()
		if err == nil {
			return nil
		}
		err = socketError(cmp.Or(n.config.Listen, n.members.book().self.Addr), err)
		if n.config.NotYet == nil || !isNotYet(err) || !n.config.NotYet(err) {
			return err
		}
	}
}

// listen opens what the caller has not. The roster's address is where others
// dial: of a name all addresses of this machine are listened at, of a literal
// address that one. Config.Listen is the very address.
func (n *Node) listen() error {
	address, err := n.listenAddress()
	if err != nil {
		return err
	}
	tcp, udp := n.config.Listener, []*udpSocket{{PacketConn: n.config.PacketConn}}
	switch {
	case tcp == nil && n.config.PacketConn == nil:
		tcp, udp, err = listenAll(address)
	case tcp == nil:
		tcp, err = net.Listen("tcp", address)
	default:
		udp, err = listenUDP(splitPort(address))
	}
	if err != nil {
		return err
	}
	n.listener = crypto.Listen(noting{tcp, n.short}, n.crypto)
	n.datagrams.open = udp
	return nil
}

// listenAddress is where to listen, without a name in it.
func (n *Node) listenAddress() (string, error) {
	address := cmp.Or(n.config.Listen, n.members.book().self.Addr)
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return "", err
	}
	if _, err := netip.ParseAddr(host); err == nil || host == "" {
		return address, nil
	}
	if n.config.Listen == "" {
		return net.JoinHostPort("", port), nil
	}
	ctx, cancel := context.WithTimeout(n.ctx, lookupTime)
	defer cancel()
	found, err := n.config.Resolve(ctx, host)
	if err != nil {
		return "", err
	}
	return net.JoinHostPort(firstIPv4(found).String(), port), nil
}

// firstIPv4 is the first IPv4 address, or the first one: as net.Listen takes
// of a name.
func firstIPv4(found []netip.Addr) netip.Addr {
	for _, ip := range found {
		if ip.Unmap().Is4() {
			return ip.Unmap()
		}
	}
	return found[0] // there is one, or an error
}

// isNotYet reports whether listening may succeed later, with nothing changed
// but the machine's own addresses or its name server: as while it boots.
func isNotYet(err error) bool {
	var unresolved *net.DNSError
	return errors.Is(err, syscall.EADDRNOTAVAIL) || errors.As(err, &unresolved)
}

// socketError says in words why there is no socket.
func socketError(address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("listening on %s: another program has this port: %w", address, err)
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		return fmt.Errorf("listening on %s: this machine does not have that address: %w", address, err)
	}
	return fmt.Errorf("listening on %s: %w", address, err)
}

// listenAll opens one port for TCP and UDP: at a literal address, or, of an
// empty host or an unspecified address, at all addresses of both families.
// With port 0 the operating system picks one for TCP, and somebody may have it
// for UDP.
func listenAll(address string) (net.Listener, []*udpSocket, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, nil, err
	}
	for try := 1; ; try++ {
		tcp, err := net.Listen("tcp", net.JoinHostPort(host, port))
		if err != nil {
			return nil, nil, err
		}
		udp, err := listenUDP(host, tcp.Addr().(*net.TCPAddr).Port)
		if err == nil {
			return tcp, udp, nil
		}
		tcp.Close() // nobody has come yet
		if port != "0" || try == freePortTries {
			return nil, nil, err
		}
	}
}

// splitPort is host and port of an address that was checked.
func splitPort(address string) (host string, port int) {
	host, service, _ := net.SplitHostPort(address) // net.Listen tells what is wrong with it
	port, _ = strconv.Atoi(service)                // the same
	return host, port
}

// listenUDP opens a socket at host; of no host one of each family, so that an
// answer can leave from the address that was asked. A machine may lack one of
// the families.
func listenUDP(host string, port int) (open []*udpSocket, err error) {
	families := []string{"udp4", "udp6"}
	switch ip, err := netip.ParseAddr(host); {
	case err == nil && ip.Unmap().IsUnspecified():
		host = "" // as net.Listen reads it, whatever the family
	case err == nil:
		families = []string{familyOf(ip)}
	}
	for _, family := range families {
		s, e := openUDP(family, host, port)
		if e == nil {
			open = append(open, s)
			continue
		}
		err = errors.Join(err, e)
		if host != "" || errors.Is(e, syscall.EADDRINUSE) {
			break
		}
		if len(open) > 0 {
			err = nil // it has no IPv6
		}
	}
	if len(open) == 0 || errors.Is(err, syscall.EADDRINUSE) {
		for _, s := range open {
			s.Close()
		}
		return nil, err
	}
	return open, nil
}

func familyOf(ip netip.Addr) string {
	if ip.Unmap().Is4() {
		return "udp4"
	}
	return "udp6"
}

// udpSocket is a socket for pings of one family, or one that the caller gave
// and that takes both. Of one that has all addresses of the machine it is
// known to which a datagram came.
type udpSocket struct {
	net.PacketConn
	family string           // "udp4" or "udp6"; "": both
	v4     *ipv4.PacketConn // nil: to which address is not known, or one
	v6     *ipv6.PacketConn
}

// path is where a datagram came from, or goes to.
type path struct {
	remote netip.AddrPort
	local  netip.Addr // the address that it came to; zero: the system chooses
}

func openUDP(family, host string, port int) (*udpSocket, error) {
	conn, err := net.ListenPacket(family, net.JoinHostPort(host, fmt.Sprint(port)))
	if err != nil {
		return nil, err
	}
	s := &udpSocket{PacketConn: conn, family: family}
	if host != "" {
		return s, nil
	}
	// Where a system cannot say to which address a datagram came, it chooses
	// the address of the answer.
	switch p4, p6 := ipv4.NewPacketConn(conn), ipv6.NewPacketConn(conn); {
	case family == "udp4" && p4.SetControlMessage(ipv4.FlagDst, true) == nil:
		s.v4 = p4
	case family == "udp6" && p6.SetControlMessage(ipv6.FlagDst, true) == nil:
		s.v6 = p6
	}
	return s, nil
}

// read takes one datagram.
func (s *udpSocket) read(b []byte) (n int, from path, err error) {
	var source net.Addr
	switch {
	case s.v4 != nil:
		var control *ipv4.ControlMessage
		if n, control, source, err = s.v4.ReadFrom(b); control != nil {
			from.local, _ = netip.AddrFromSlice(control.Dst)
		}
	case s.v6 != nil:
		var control *ipv6.ControlMessage
		if n, control, source, err = s.v6.ReadFrom(b); control != nil {
			from.local, _ = netip.AddrFromSlice(control.Dst)
		}
	default:
		n, source, err = s.ReadFrom(b)
	}
	if udp, ok := source.(*net.UDPAddr); ok {
		at := udp.AddrPort()
		from.remote = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
	}
	return n, from, err
}

// write sends one datagram, from to.local if it can.
func (s *udpSocket) write(b []byte, to path) (err error) {
	remote := net.UDPAddrFromAddrPort(to.remote)
	switch {
	case to.local.IsValid() && s.v4 != nil && to.local.Unmap().Is4():
		_, err = s.v4.WriteTo(b, &ipv4.ControlMessage{Src: to.local.Unmap().AsSlice()}, remote)
	case to.local.IsValid() && s.v6 != nil:
		_, err = s.v6.WriteTo(b, &ipv6.ControlMessage{Src: to.local.AsSlice()}, remote)
	default:
		_, err = s.WriteTo(b, remote)
		return err
	}
	if err != nil { // no address of its own: a broadcast, or one that it has no more
		_, err = s.WriteTo(b, remote)
	}
	return err
}

// datagrams are the sockets for pings.
type datagrams struct {
	mu     sync.Mutex
	open   []*udpSocket
	closed bool
}

// socket returns that for an address. A peer that listens at one literal
// address of the other family has none: then one is opened that nobody is told
// of, for pings to members of that family, and their acks.
func (n *Node) socket(to netip.Addr) (*udpSocket, error) {
	d := &n.datagrams
	d.mu.Lock()
	defer d.mu.Unlock()
	family := familyOf(to)
	for _, s := range d.open {
		if s.family == "" || s.family == family {
			return s, nil
		}
	}
	if d.closed {
		return nil, net.ErrClosed
	}
	s, err := openUDP(family, "", 0)
	n.short.note(err)
	if err != nil {
		return nil, err
	}
	d.open = append(d.open, s)
	// Ends when close closes the socket; release waits for it.
	n.work.Go(func() { n.readPings(s) })
	return s, nil
}

// sendDatagram sends one.
func (n *Node) sendDatagram(b []byte, to path) error {
	s, err := n.socket(to.remote.Addr())
	if err != nil {
		return err
	}
	return s.write(b, to)
}

// list returns the sockets that are open now.
func (d *datagrams) list() []*udpSocket {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.open
}

// close closes them, and lets none be opened any more.
func (d *datagrams) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for _, s := range d.open {
		s.Close() // its error is that of a socket nobody uses any more
	}
}

// addressesEach is how often links are looked at for addresses that this
// machine has no more.
const addressesEach = time.Second

// watchAddresses ends links that stand at an address which this machine has
// lost: nothing comes over them any more, and TCP would take minutes to find
// out. It ends when the node does.
func (n *Node) watchAddresses() {
	ticker := time.NewTicker(addressesEach)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
		case <-n.ctx.Done():
			return
		}
		have, err := net.InterfaceAddrs()
		if err != nil {
			continue // a sandbox: TCP finds out
		}
		n.members.leave(func(local netip.Addr) bool {
			return slices.ContainsFunc(have, func(a net.Addr) bool {
				prefix, ok := a.(*net.IPNet)
				return ok && prefix.IP.Equal(local.AsSlice())
			})
		})
	}
}
