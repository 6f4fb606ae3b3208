//go:build linux

package powercut

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

var (
	cutsFlag    = flag.Int("cuts", 0, "cut the power of a ring `N` times: needs root")
	flipsFlag   = flag.Bool("flips", false, "damage each kind of file: needs root")
	callsFlag   = flag.Bool("calls", false, "watch the order of system calls, and have each fail: needs root and strace")
	edgesFlag   = flag.Bool("edges", false, "run out of each thing that a disk has: needs root")
	seedFlag    = flag.Uint64("seed", 1, "of all that is drawn")
	programFlag = flag.String("program", "", "run this `FILE`, not what the sources say")
)

// insideVariable is set in the process that has namespaces of its own.
const insideVariable = "SECUREPEER_POWERCUT_INSIDE"

// work is where the disks of this process are: a tmpfs that ends with its
// namespace.
const work = "/mnt"

// TestMain runs the tests in namespaces of their own if a flag asks for real
// disks. When this process ends, however, the other one is killed; when that has
// ended the kernel kills all that runs inside and unmounts all disks.
func TestMain(m *testing.M) {
	flag.Parse()
	if *cutsFlag == 0 && !*flipsFlag && !*callsFlag && !*edgesFlag {
		os.Exit(m.Run()) // there is nothing to run
	}
	var err error
	if os.Getenv(insideVariable) == "" {
		err = runInside()
	} else if err = prepare(); err == nil {
		os.Exit(m.Run())
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		os.Exit(max(1, exit.ExitCode()))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "powercut:", err)
		os.Exit(1)
	}
}

func runInside() error {
	if os.Geteuid() != 0 {
		return errors.New("-cuts, -flips, -calls and -edges mount disks: run it as root")
	}
	program := *programFlag
	if program == "" {
		dir, err := os.MkdirTemp("", "powercut")
		if err != nil {
			return err
		}
		defer os.RemoveAll(dir) // it holds the program and nothing else
		if program, err = build(dir, ""); err != nil {
			return err
		}
	}
	cmd := exec.Command("/proc/self/exe", append(os.Args[1:], "-program="+program)...)
	cmd.Env = append(os.Environ(), insideVariable+"=1")
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:   unix.CLONE_NEWPID | unix.CLONE_NEWNET,
		Unshareflags: unix.CLONE_NEWNS,
		Pdeathsig:    syscall.SIGKILL,
	}
	return cmd.Run()
}

// prepare makes the namespaces of this process usable: a /proc of its own
// processes, a loopback, and a place for disks.
func prepare() error {
	if err := unix.Mount("proc", "/proc", "proc", 0, ""); err != nil {
		return fmt.Errorf("mounting /proc: %w", err)
	}
	if err := unix.Mount("tmpfs", work, "tmpfs", 0, "mode=700"); err != nil {
		return fmt.Errorf("mounting a tmpfs: %w", err)
	}
	s, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("opening a socket: %w", err)
	}
	defer unix.Close(s) // nothing was sent
	lo := struct {
		name  [unix.IFNAMSIZ]byte
		flags uint16
		_     [22]byte
	}{flags: unix.IFF_UP}
	copy(lo.name[:], "lo")
	if _, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(s), unix.SIOCSIFFLAGS, uintptr(unsafe.Pointer(&lo))); e != 0 {
		return fmt.Errorf("bringing the loopback up: %w", e)
	}
	return nil
}

// build builds the program as it is shipped, with the files of an overlay if
// there is one, and returns where it is.
func build(dir, overlay string) (program string, err error) {
	program = filepath.Join(dir, "securepeer")
	args := []string{"build", "-trimpath", "-o", program}
	if overlay != "" {
		args = append(args, "-overlay="+overlay)
	}
	cmd := exec.Command("go", append(args, "./cmd/securepeer")...)
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("building the program: %w: %s", err, out)
	}
	return program, nil
}

// run runs a command of the system, and fails the test with what it says.
func run(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
		t.Fatalf("%s: %v: %s", strings.Join(args, " "), err, out)
	}
}
