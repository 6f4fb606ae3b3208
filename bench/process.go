package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// cost is what one run took.
type cost struct {
	wall time.Duration // of the command, from its start to its end
	cpu  time.Duration // user and system, of the command and of all daemons
	peak int64         // bytes that the command had resident at most
}

// spend runs a command to its end. The daemons are who works for it.
func spend(ctx context.Context, daemons []*daemon, program string, args ...string) (cost, error) {
	before, err := processorTime(daemons)
	if err != nil {
		return cost{}, err
	}
	cmd := exec.CommandContext(ctx, program, args...)
	var said bytes.Buffer
	cmd.Stderr = &said
	begun := time.Now()
	err = cmd.Run()
	wall := time.Since(begun)
	if err != nil {
		return cost{}, fmt.Errorf("running %s %q: %w: %s", program, args, err, bytes.TrimSpace(said.Bytes()))
	}
	after, err := processorTime(daemons)
	if err != nil {
		return cost{}, err
	}
	usage, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	if !ok {
		return cost{}, errors.New("this system does not say what a process used")
	}
	return cost{
		wall: wall,
		cpu:  after - before + cmd.ProcessState.UserTime() + cmd.ProcessState.SystemTime(),
		// KiB on Linux. A process has from its birth what its parent, this small
		// one, had then, so it may be less.
		peak: usage.Maxrss << 10,
	}, nil
}

// daemon is a process that runs from the beginning to the end.
type daemon struct {
	cmd  *exec.Cmd
	said bytes.Buffer // its standard error; read when it has ended
}

// launch starts a daemon with its standard output as given, or none.
func launch(stdout *os.File, program string, args ...string) (*daemon, error) {
	d := &daemon{cmd: exec.Command(program, args...)}
	d.cmd.Stderr = &d.said
	if stdout != nil {
		d.cmd.Stdout = stdout
	}
	if err := d.cmd.Start(); err != nil {
		return nil, err
	}
	return d, nil
}

// end kills a daemon and waits for its end.
func (d *daemon) end() {
	d.cmd.Process.Kill() // an error says that it has ended already
	d.cmd.Wait()         // says that it was killed
}

// clockTick is the unit of times in /proc on every architecture Go runs on.
const clockTick = time.Second / 100

// processorTime is the user and system time of all daemons until now.
func processorTime(daemons []*daemon) (sum time.Duration, err error) {
	for _, d := range daemons {
		stat, err := os.ReadFile(d.proc("stat"))
		if err != nil {
			return 0, fmt.Errorf("reading the times of a process: %w", err)
		}
		// proc(5): the second field is the name in parentheses, which may hold
		// anything; 14 and 15 are utime and stime.
		fields := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')')+1:]))
		if len(fields) < 13 {
			return 0, fmt.Errorf("a process has ended: %s", stat)
		}
		for _, field := range fields[11:13] {
			ticks, err := strconv.ParseInt(field, 10, 64)
			if err != nil {
				return 0, fmt.Errorf("reading the times of a process: %w", err)
			}
			sum += time.Duration(ticks) * clockTick
		}
	}
	return sum, nil
}

func (d *daemon) proc(file string) string {
	return fmt.Sprintf("/proc/%d/%s", d.cmd.Process.Pid, file)
}

// peak is how many bytes a daemon had resident at most.
func (d *daemon) peak() (int64, error) {
	status, err := os.ReadFile(d.proc("status"))
	if err != nil {
		return 0, fmt.Errorf("reading the memory of a process: %w", err)
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	line, _, _ := strings.Cut(rest, " kB")
	kib, err := strconv.ParseInt(strings.TrimSpace(line), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("reading the memory of a process: %w", err)
	}
	return kib << 10, nil
}
