package keys

import (
	"fmt"
	"net"
	"net/netip"
	"strings"
)

// undialable are the ranges in which no other machine can be dialled
// (IANA's special-purpose registries, RFC 6890; multicast, RFC 5771 and
// RFC 4291, section 2.7).
var undialable = []struct {
	netip.Prefix
	why string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), "nobody can dial"},
	{netip.MustParsePrefix("224.0.0.0/4"), "nobody can dial a multicast address:"},
	{netip.MustParsePrefix("255.255.255.255/32"), "nobody can dial a broadcast address:"},
	{netip.MustParsePrefix("::/96"), "nobody can dial"}, // but ::1; RFC 4291, section 2.5.5.1
	{netip.MustParsePrefix("ff00::/8"), "nobody can dial a multicast address:"},
	{netip.MustParsePrefix("fe80::/10"), "nobody can dial, without a zone that means something on one machine only, the link-local address"},
}

// CheckIP says why no other machine can be dialled at ip, which is unmapped.
// A link-local IPv6 address needs its zone; [ParseRoster] takes none, because
// a zone means something on one machine only.
func CheckIP(ip netip.Addr) error {
	if !ip.IsValid() {
		return fmt.Errorf("no address")
	}
	if ip == netip.IPv6Loopback() {
		return nil
	}
	for _, u := range undialable {
		// A prefix never contains an address with a zone; only a link-local
		// one is better for having it.
		if u.Contains(ip) || u.Contains(ip.WithZone("")) && !ip.IsLinkLocalUnicast() {
			return fmt.Errorf("%s %s", u.why, ip)
		}
	}
	return nil
}

// checkAddr wants HOST:PORT: a host name, an IPv4 address, or an IPv6 address
// in brackets, that another machine can dial.
func checkAddr(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		if _, err := netip.ParseAddr(addr); err == nil || strings.Count(addr, ":") > 1 {
			return fmt.Errorf("addr=%s must be HOST:PORT, an IPv6 address in brackets: [2001:db8::1]:7460", quote(addr))
		}
		return fmt.Errorf("addr=%s must be HOST:PORT", quote(addr))
	}
	if n, err := parseDecimal(port, 65535); err != nil || n == 0 {
		return fmt.Errorf("addr=%s: the port must be 1 to 65535", quote(addr))
	}
	ip, err := netip.ParseAddr(host)
	bracketed := addr[0] == '['
	switch {
	case err != nil && (bracketed || !isHostname(host)), err == nil && ip.Is6() != bracketed:
		return fmt.Errorf("addr=%s: %s is no host name or address", quote(addr), quote(host))
	case err != nil:
		return nil
	case ip.Zone() != "":
		return fmt.Errorf("addr=%s: the zone %s means something on one machine only", quote(addr), quote(ip.Zone()))
	}
	if err := CheckIP(ip.Unmap()); err != nil {
		return fmt.Errorf("addr=%s: %w", quote(addr), err)
	}
	if ip.Is4In6() {
		return fmt.Errorf("addr=%s is an IPv4 address: write %s:%s", quote(addr), ip.Unmap(), port)
	}
	return nil
}

// oneSpelling makes two addresses that are one HOST:PORT equal.
func oneSpelling(addr string) string {
	if at, err := netip.ParseAddrPort(addr); err == nil {
		return at.String()
	}
	return strings.ToLower(addr)
}

// CheckListen says why nobody could listen at addr, HOST:PORT: any address of
// a machine, or a name of one; an empty host stands for all of its addresses,
// and port 0 for a free one.
func CheckListen(addr string) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		host, port = "", "" // refused below
	}
	if _, err := parseDecimal(port, 65535); err != nil {
		return fmt.Errorf("%s must be HOST:PORT, the port a number from 0 to 65535", quote(addr))
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case err != nil && host != "" && !isHostname(host):
		return fmt.Errorf("%s: %s is no host name or address", quote(addr), quote(host))
	case err == nil && ip.IsLinkLocalUnicast() && ip.Is6() && ip.Zone() == "":
		return fmt.Errorf("%s: a link-local address needs its zone, as in [fe80::1%%eth0]:%s", quote(addr), port)
	case err == nil && !ip.Unmap().IsUnspecified() && CheckIP(ip.Unmap()) != nil:
		return fmt.Errorf("%s: %w", quote(addr), CheckIP(ip.Unmap()))
	}
	return nil
}

// isHostname takes what a resolver takes: labels of letters, digits, - and _.
// One that ends in a number, decimal or hexadecimal, would be a mistyped IPv4
// address, or is read as one by some resolvers (WHATWG URL, section 3.5,
// "ends in a number").
func isHostname(host string) bool {
	if len(host) > 253 {
		return false
	}
	labels := strings.Split(host, ".")
	for _, label := range labels {
		if len(label) < 1 || len(label) > 63 || label[0] == '-' || label[len(label)-1] == '-' {
			return false
		}
		for i := range len(label) {
			c := label[i]
			if !('a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_') {
				return false
			}
		}
	}
	last := strings.ToLower(labels[len(labels)-1])
	hex, isHex := strings.CutPrefix(last, "0x")
	return strings.Trim(last, "0123456789") != "" && !(isHex && strings.Trim(hex, "0123456789abcdef") == "")
}
