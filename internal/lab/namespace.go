//go:build linux

package lab

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"unsafe"

	"golang.org/x/sys/unix"
)

// device is the interface of each namespace.
const device = "eth0"

// port is one namespace and the switch's end of its interface.
type port struct {
	id   int
	path string        // of the namespace
	ns   *os.File      // the same, open
	tap  *os.File      // one frame a read or write
	wake chan struct{} // one place: one that waits stands for all
	done chan struct{} // closed to end the port's goroutines

	mu     sync.Mutex
	held   heldFrames
	serial uint64 // of the last frame that was held
}

// newPort makes a namespace with its interface.
func newPort(id int, series uint64) (*port, error) {
	name, err := owner{os.Getpid(), startOf(os.Getpid())}.name(series, id)
	if err != nil {
		return nil, err
	}
	p := &port{id: id, path: filepath.Join(folder, name),
		wake: make(chan struct{}, 1), done: make(chan struct{})}
	f, err := os.OpenFile(p.path, os.O_CREATE|os.O_EXCL|os.O_RDONLY, 0o444)
	if err != nil {
		return nil, err
	}
	f.Close() // it was only to be there
	if err := onOwnThread(p.build); err != nil {
		return nil, errors.Join(err, remove(p.path))
	}
	return p, nil
}

// build turns the calling thread's namespace into a new one, pins it at the
// path and puts the interface into it.
func (p *port) build() (err error) {
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("making a network namespace: %w", err)
	}
	self := fmt.Sprintf("/proc/self/task/%d/ns/net", unix.Gettid())
	if err := unix.Mount(self, p.path, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("binding it to %s: %w", p.path, err)
	}
	// IPv6 is off until a test gives a namespace an address of it, as on many
	// machines. Addresses of one wire can be taken away one by one.
	err = errors.Join(sysctl("ipv6/conf/all/disable_ipv6", "1"), sysctl("ipv6/conf/default/disable_ipv6", "1"),
		sysctl("ipv4/conf/all/promote_secondaries", "1"))
	if err != nil {
		return err
	}
	if p.tap, err = openTap(hardware(p.id)); err != nil {
		return err
	}
	// The kernel gives lo its addresses when that is turned on.
	if err = errors.Join(linkUp("lo"), linkUp(device)); err == nil {
		err = setAddr(unix.RTM_NEWADDR, device, Addr(p.id))
	}
	if err == nil {
		p.ns, err = os.Open(p.path)
	}
	if err != nil {
		return errors.Join(err, p.tap.Close())
	}
	return nil
}

// onOwnThread runs f on a thread that ends with it: whatever f does to the
// thread's namespace, no other goroutine ever runs there.
func onOwnThread(f func() error) error {
	result := make(chan error, 1) // one place: the thread need not wait
	go func() {                   // ends with f
		runtime.LockOSThread() // and never unlocks it
		result <- f()
	}()
	return <-result
}

// inside runs f on a thread in the namespace.
func inside(ns *os.File, f func() error) error {
	return onOwnThread(func() error {
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			return fmt.Errorf("entering %s: %w", ns.Name(), err)
		}
		return f()
	})
}

// openTap makes the interface in the calling thread's namespace. It is there
// as long as it is open: no process that is killed leaves one behind.
func openTap(hw [6]byte) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("opening /dev/net/tun, which a lab needs: %w", err)
	}
	ifr, err := unix.NewIfreq(device)
	if err == nil {
		ifr.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, ifr)
	}
	if err == nil {
		err = setHardware(fd, hw)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("making %s: %w", device, err), unix.Close(fd))
	}
	// Not before it is a tap: the poller would never hear of its frames.
	return os.NewFile(uintptr(fd), "tap"), nil
}

// setHardware sets the Ethernet address of an open tap.
func setHardware(tap int, hw [6]byte) error {
	var req struct { // struct ifreq with a sockaddr; x/sys has no setter for one
		name   [unix.IFNAMSIZ]byte
		family uint16
		data   [22]byte
	}
	copy(req.name[:], device)
	req.family = unix.ARPHRD_ETHER
	copy(req.data[:], hw[:])
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(tap), unix.SIOCSIFHWADDR, uintptr(unsafe.Pointer(&req)))
	if errno != 0 {
		return fmt.Errorf("setting its Ethernet address: %w", errno)
	}
	return nil
}

// sysctl sets a value in /proc/sys/net of the calling thread's namespace. One
// that this kernel does not have needs no setting.
func sysctl(name, value string) error {
	err := os.WriteFile(filepath.Join("/proc/sys/net", name), []byte(value), 0)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}
