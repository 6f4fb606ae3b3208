package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
)

// ratio is what is compared and what must hold of its median; without a bound
// it is told for information.
type ratio struct {
	Name    string  `json:"name"`
	AtLeast float64 `json:"at_least,omitempty"`
	AtMost  float64 `json:"at_most,omitempty"`
}

// The ratios, each to the TLS copy of the same round.
var (
	getSpeed   = ratio{Name: "get, speed", AtLeast: 0.65}
	getWork    = ratio{Name: "get, CPU"}
	localSpeed = ratio{Name: "get at a holder, speed"}
	putWork    = ratio{Name: "put, CPU for each of 3 copies", AtMost: 1.2}
	localWork  = ratio{Name: "put at a holder, CPU for each of 3 copies"}
	putSpeed   = ratio{Name: "put of 3 synced copies, speed"}
	smallGet   = ratio{Name: "get of 10 KiB, time"}
	smallPut   = ratio{Name: "put of 10 KiB, synced, time"}

	// handshakeRatio is measured by the benchmark of package crypto.
	handshakeRatio = ratio{Name: "handshake, CPU", AtMost: 1.0}
)

// maxPeak is what any process of securepeer may have resident, in bytes.
const maxPeak = 64 << 20

// report is what was measured.
type report struct {
	Machine    machine            `json:"machine"`
	MiB        int64              `json:"mib"` // of the large file
	Rounds     int                `json:"rounds"`
	Ratios     []*series          `json:"ratios"`
	Seconds    []*times           `json:"seconds"`
	PeakMiB    map[string]float64 `json:"peak_mib"`
	MaxPeakMiB float64            `json:"max_peak_mib"` // of a peer and of a command
}

// machine is what makes seconds differ.
type machine struct {
	Go         string `json:"go"`
	System     string `json:"system"`
	CPUs       int    `json:"cpus"`
	Congestion string `json:"tcp_congestion_control"`
}

// series is one ratio, round by round.
type series struct {
	ratio
	Median float64   `json:"median"`
	Held   bool      `json:"held"`
	Values []float64 `json:"values"`
}

// times are the medians of what one side took.
type times struct {
	Name string  `json:"name"`
	Wall float64 `json:"wall"`
	CPU  float64 `json:"cpu"`

	walls, cpus []float64
}

func newReport(o options) *report {
	// Without it the system has another way to say which; then it is not told.
	congestion, _ := os.ReadFile("/proc/sys/net/ipv4/tcp_congestion_control")
	return &report{
		Machine: machine{runtime.Version(), runtime.GOOS + "/" + runtime.GOARCH, runtime.NumCPU(), strings.TrimSpace(string(congestion))},
		MiB:     int64(o.size) / mib, Rounds: o.rounds,
		PeakMiB: make(map[string]float64), MaxPeakMiB: maxPeak >> 20,
	}
}

func seconds(d time.Duration) float64 { return d.Seconds() }

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	middle := len(sorted) / 2
	if len(sorted)%2 == 0 {
		return (sorted[middle-1] + sorted[middle]) / 2
	}
	return sorted[middle]
}

// add notes the ratio of one round.
func (r *report) add(of ratio, value float64) {
	i := slices.IndexFunc(r.Ratios, func(s *series) bool { return s.ratio == of })
	if i < 0 {
		i = len(r.Ratios)
		r.Ratios = append(r.Ratios, &series{ratio: of})
	}
	s := r.Ratios[i]
	s.Values = append(s.Values, value)
	s.Median = median(s.Values)
	s.Held = s.Median >= of.AtLeast && (of.AtMost == 0 || s.Median <= of.AtMost)
}

// spent notes what one run took.
func (r *report) spent(name string, c cost) {
	i := slices.IndexFunc(r.Seconds, func(t *times) bool { return t.Name == name })
	if i < 0 {
		i = len(r.Seconds)
		r.Seconds = append(r.Seconds, &times{Name: name})
	}
	t := r.Seconds[i]
	t.walls, t.cpus = append(t.walls, seconds(c.wall)), append(t.cpus, seconds(c.cpu))
	t.Wall, t.CPU = median(t.walls), median(t.cpus)
}

// peak notes what a process had resident.
func (r *report) peak(name string, size int64) {
	r.PeakMiB[name] = max(r.PeakMiB[name], float64(size)/(1<<20))
}

// peaks notes what the daemons had resident until now.
func (r *report) peaks(peers []*daemon, tls *daemon) error {
	size, err := tls.peak()
	if err != nil {
		return err
	}
	r.peak("the TLS copy", size)
	for _, d := range peers {
		if size, err = d.peak(); err != nil {
			return err
		}
		r.peak("a peer", size)
	}
	return nil
}

// lean reports whether no process of securepeer took more than it may.
func (r *report) lean() bool {
	return r.PeakMiB["a peer"] <= r.MaxPeakMiB && r.PeakMiB["a command"] <= r.MaxPeakMiB
}

// held reports whether all that must hold does.
func (r *report) held() bool {
	return r.lean() && !slices.ContainsFunc(r.Ratios, func(s *series) bool { return !s.Held })
}

func (r *report) print(to io.Writer) error {
	out := bufio.NewWriter(to)
	m := r.Machine
	fmt.Fprintf(out, "%d MiB, %d rounds; %s, %s, %d CPUs, TCP congestion control %s\n\n", r.MiB, r.Rounds, m.Go, m.System, m.CPUs, m.Congestion)
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "to a copy over TLS 1.3\tmedian\tlowest\thighest\tmust be\t")
	for _, s := range r.Ratios {
		fmt.Fprintf(table, "%s\t%.2f\t%.2f\t%.2f\t%s\t%s\n", s.Name, s.Median, slices.Min(s.Values), slices.Max(s.Values), s.bound(), s.verdict())
	}
	fmt.Fprintln(table, "\t\t\t\t\t")
	fmt.Fprintln(table, "medians\tseconds\tCPU s\t\t\t")
	for _, t := range r.Seconds {
		fmt.Fprintf(table, "%s\t%.3f\t%.2f\t\t\t\n", t.Name, t.Wall, t.CPU)
	}
	fmt.Fprintln(table, "\t\t\t\t\t")
	fmt.Fprintln(table, "most memory resident\tMiB\t\t\tmust be\t")
	for _, name := range []string{"a peer", "a command"} {
		fmt.Fprintf(table, "%s\t%.1f\t\t\t<= %g\t%s\n", name, r.PeakMiB[name], r.MaxPeakMiB, verdict(r.PeakMiB[name] <= r.MaxPeakMiB))
	}
	fmt.Fprintf(table, "the TLS copy\t%.1f\t\t\t\t\n", r.PeakMiB["the TLS copy"])
	table.Flush() // to a buffer; the error is out's
	return out.Flush()
}

func (r ratio) bound() string {
	switch {
	case r.AtLeast > 0:
		return fmt.Sprintf(">= %.2f", r.AtLeast)
	case r.AtMost > 0:
		return fmt.Sprintf("<= %.2f", r.AtMost)
	}
	return ""
}

func (s *series) verdict() string {
	if s.bound() == "" {
		return ""
	}
	return verdict(s.Held)
}

func verdict(held bool) string {
	if held {
		return "ok"
	}
	return "MISSED"
}

// handshake runs the benchmark of package crypto: what a hybrid handshake
// costs, both sides, as a share of mutual TLS 1.3 with the same hybrid group
// and certificates of an authority.
func handshake(ctx context.Context) (float64, error) {
	// It fails by itself above 1: what it printed counts, not how it ended.
	out, err := exec.CommandContext(ctx, "go", "test", "-run=^$", "-bench=^BenchmarkHandshakeRatio$/^authority$", "securepeer/crypto").CombinedOutput()
	fields := strings.Fields(string(out))
	i := slices.Index(fields, "of-TLS")
	if i < 1 {
		return 0, errors.Join(fmt.Errorf("running the benchmark of package crypto: %s", out), err)
	}
	return strconv.ParseFloat(fields[i-1], 64)
}
