package keys

import (
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"securepeer/wire"
)

// testAdmin returns a minisign public key of the shape the tool writes.
func testAdmin(t testing.TB, name string) string {
	key := testPublic(t, name).Sign
	return base64.StdEncoding.EncodeToString(append([]byte("EdKEYIDKEY"), key[:]...))
}

func peerLine(t testing.TB, id int, name, more string) string {
	return fmt.Sprintf("peer %d %s %s addr=%s.example.net:7460%s\n", id, name, testPublic(t, name), name, more)
}

const ringLine = "ring attic space=64 copies=3 observers=3 interval=1s grace=5m route=hop\n"

// fullRoster is canonical and has every kind of line, field and comment.
func fullRoster(t testing.TB) string {
	admins := []string{testAdmin(t, "admin"), testAdmin(t, "other")}
	if admins[0] > admins[1] {
		admins[0], admins[1] = admins[1], admins[0]
	}
	return "# the attic\n\n" + ringLine +
		"# keeps the file\nadmin " + admins[0] + "\nadmin " + admins[1] + "\n" +
		"\n  # first floor\n" +
		peerLine(t, 0, "alice", " pos=12345 role=steward next="+testPublic(t, "alice's next").String()+" drain") +
		peerLine(t, 14, "bob", "") +
		"\t\n# second floor: ä 世界\n" +
		fmt.Sprintf("peer 65535 Carol_-.,9 %s addr=[2001:db8::1]:1 role=steward\n", testPublic(t, "carol")) +
		"# lost his laptop\n" +
		fmt.Sprintf("revoke 9 dave %s\n", testPublic(t, "dave")) +
		fmt.Sprintf("revoke 10 erin %s\n", testPublic(t, "erin")) +
		"# the end\n"
}

func mustParse(t testing.TB, text string) *Roster {
	t.Helper()
	r, err := ParseRoster([]byte(text))
	if err != nil {
		t.Fatalf("ParseRoster: %v\n%s", err, text)
	}
	return r
}

func TestFullRosterReadsAndWritesTheSameBytes(t *testing.T) {
	text := fullRoster(t)
	r := mustParse(t, text)
	if got := string(r.Append(nil)); got != text {
		t.Errorf("Append =\n%s\nwant\n%s", got, text)
	}
	if err := r.Validate(); err != nil {
		t.Errorf("Validate: %v", err)
	}
	if again := mustParse(t, string(r.Append(nil))); !reflect.DeepEqual(r, again) {
		t.Errorf("parsed again: %+v, want %+v", again, r)
	}
	next := testPublic(t, "alice's next")
	alice, ok := r.ByID(0)
	alice.note = ""
	want := Member{
		ID: 0, Name: "alice", Key: testPublic(t, "alice"), Addr: "alice.example.net:7460",
		Pos: 12345, HasPos: true, Steward: true, Drain: true, Next: &next,
	}
	if !ok || !reflect.DeepEqual(alice, want) {
		t.Errorf("ByID(0) = %+v, %v, want %+v", alice, ok, want)
	}
	bob, ok := r.ByName("bob")
	if !ok || bob.ID != 14 || bob.Pos != wire.PosOf(wire.Space64, 14) || bob.HasPos || bob.Steward || bob.Drain || bob.Next != nil {
		t.Errorf("ByName(bob) = %+v, %v", bob, ok)
	}
	if m, ok := r.ByKey(bob.Key.Noise); !ok || m.ID != 14 {
		t.Errorf("ByKey(bob) = %+v, %v", m, ok)
	}
	for _, nobody := range []Public{next, testPublic(t, "dave")} {
		if m, ok := r.ByKey(nobody.Noise); ok {
			t.Errorf("ByKey of a next or revoked key = %+v, want nobody", m)
		}
	}
	if len(r.Admins) != 2 || len(r.Revoked) != 2 || r.Revoked[0].ID != 9 || r.Revoked[0].Key != testPublic(t, "dave") {
		t.Errorf("admins %v, revoked %v", r.Admins, r.Revoked)
	}
	if _, ok := r.ByID(9); ok {
		t.Error("a revoked id is a member")
	}
}

// Order, spacing, abbreviation and comments are the operator's; the canonical
// text and the digest are the same.
func TestLooseTextHasOneCanonicalForm(t *testing.T) {
	canonical := ringLine + "admin " + testAdmin(t, "admin") + "\n" +
		peerLine(t, 2, "alice", " pos=255 role=steward drain") + peerLine(t, 10, "bob", "")
	revoked := [2]string{}
	for i, name := range []string{"dave", "erin"} {
		revoked[i] = fmt.Sprintf("revoke %d %s %s\n", 90+i, name, testPublic(t, name))
	}
	canonical += revoked[0] + revoked[1]
	loose := revoked[1] + revoked[0] + "\n" + peerLine(t, 10, "bob", "   ") +
		"# hello\n\tpeer 2  alice\t" + testPublic(t, "alice").String() + " drain role=steward pos=0xff addr=alice.example.net:7460\n" +
		"ring attic grace=300s\n" + "admin " + testAdmin(t, "admin") + "\n"
	a, b := mustParse(t, canonical), mustParse(t, loose)
	if a.Digest() != b.Digest() {
		t.Errorf("digests %x and %x, want the same", a.Digest(), b.Digest())
	}
	got := string(b.Append(nil))
	if want := strings.Replace(strings.Replace(canonical, "peer 2", "# hello\npeer 2", 1), "peer 10", "\npeer 10", 1); got != want {
		t.Errorf("Append =\n%s\nwant\n%s", got, want)
	}
}

func TestDigestSeesEveryLine(t *testing.T) {
	seen := map[wire.Digest]string{}
	for _, text := range []string{
		ringLine,
		strings.Replace(ringLine, "copies=3", "copies=2", 1),
		strings.Replace(ringLine, "hop", "walk", 1),
		ringLine + peerLine(t, 1, "alice", ""),
		ringLine + peerLine(t, 2, "alice", ""),
		ringLine + peerLine(t, 1, "alice", " drain"),
		ringLine + peerLine(t, 1, "alice", " pos=1"),
		ringLine + fmt.Sprintf("revoke 1 alice %s\n", testPublic(t, "alice")),
		ringLine + "admin " + testAdmin(t, "admin") + "\n",
	} {
		digest := mustParse(t, text).Digest()
		if other, ok := seen[digest]; ok {
			t.Errorf("one digest for\n%s\nand\n%s", text, other)
		}
		seen[digest] = text
	}
}

func TestRingLineDefaults(t *testing.T) {
	r := mustParse(t, "ring attic\n")
	if r.Ring != "attic" || r.Space != wire.Space64 || r.Copies != 3 || r.Observers != 3 || r.Interval != time.Second || r.Grace != 5*time.Minute || r.Route != Hop {
		t.Errorf("defaults: %+v", r)
	}
	fresh, err := NewRoster("attic")
	if err != nil {
		t.Fatal(err)
	}
	if got := string(fresh.Append(nil)); got != ringLine {
		t.Errorf("NewRoster writes %q, want %q", got, ringLine)
	}
	if _, err := NewRoster("no good"); err == nil {
		t.Error("NewRoster took a bad name")
	}
	classic := mustParse(t, "ring seed space=8 copies=2 observers=2 interval=50ms grace=1h30m route=walk\n"+peerLine(t, 255, "alice", ""))
	if classic.Space != wire.Space8 || classic.Route != Walk || classic.Members[0].Pos != 255 || classic.Grace != 90*time.Minute {
		t.Errorf("classic: %+v", classic)
	}
}

func TestDurationsReadBackAndAreShort(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"1ms": time.Millisecond, "1.5s": 1500 * time.Millisecond, "10s": 10 * time.Second, "5m": 5 * time.Minute,
		"1m30s": 90 * time.Second, "1h": time.Hour, "1h30m": 90 * time.Minute, "1h0m5s": time.Hour + 5*time.Second,
		"10m": 10 * time.Minute, "20h": 20 * time.Hour, "1.000000001s": time.Second + 1,
	} {
		if got := FormatDuration(want); got != text {
			t.Errorf("FormatDuration(%v) = %s, want %s", want, got, text)
		}
		if got, err := time.ParseDuration(text); err != nil || got != want {
			t.Errorf("ParseDuration(%s) = %v, %v, want %v", text, got, err, want)
		}
	}
}

// wantFaults checks that the error of a roster has exactly these faults, each
// "LINE: part of the text".
func wantFaults(t *testing.T, err error, want ...string) {
	t.Helper()
	var got []*RosterError
	if joined, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range joined.Unwrap() {
			var fault *RosterError
			if !errors.As(e, &fault) {
				t.Fatalf("error %v is no RosterError", e)
			}
			got = append(got, fault)
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d faults, want %d:\n%v\nwant\n%s", len(got), len(want), err, strings.Join(want, "\n"))
	}
	for i, fault := range got {
		line, text, _ := strings.Cut(want[i], ": ")
		if fmt.Sprint(fault.Line) != line || !strings.Contains(fault.Text, text) {
			t.Errorf("fault %d is line %d: %s\nwant %s", i+1, fault.Line, fault.Text, want[i])
		}
	}
}

func TestEachFaultIsToldWithItsLine(t *testing.T) {
	alice, bob := testPublic(t, "alice"), testPublic(t, "bob")
	peer := func(more string) string { return peerLine(t, 1, "alice", more) } // line 2 below
	mixed := Public{alice.Noise, bob.Sign}
	lowOrder := Public{[32]byte{1}, alice.Sign}
	for _, c := range []struct {
		name, text string
		want       []string
	}{
		{"empty", "", []string{"0: no ring line"}},
		{"only comments", "# ring attic\n\n", []string{"0: no ring line"}},
		{"no ring line", peer(""), []string{"0: no ring line"}},
		{"two ring lines", ringLine + "# x\n" + ringLine, []string{"3: a second ring line; the first is line 1"}},
		{"ring without name", "ring\n", []string{"1: no name"}},
		{"ring with a field for a name", "ring copies=3\n", []string{"1: no name"}},
		{"ring name", "ring at/tic\n", []string{`1: the name "at/tic" may have`}},
		{"space", "ring attic space=16\n", []string{"1: space=16 must be 8 or 64"}},
		{"space too wide for its type", "ring attic space=264\n", []string{`1: space=: "264" must be`}},
		{"copies none", "ring attic copies=0\n", []string{"1: copies=0 must be 1 to 32"}},
		{"copies many", "ring attic copies=33\n", []string{"1: copies=33 must be 1 to 32"}},
		{"copies spelled", "ring attic copies=03\n", []string{`1: copies=: "03" must be a number`}},
		{"observers", "ring attic observers=-1\n", []string{`1: observers=: "-1" must be a number`}},
		{"interval no duration", "ring attic interval=1\n", []string{`1: interval=: "1" must be a duration`}},
		{"interval zero", "ring attic interval=0s\n", []string{"1: interval=0s must be 1ms to 1h"}},
		{"interval long", "ring attic interval=2h grace=3h\n", []string{"1: interval=2h must be 1ms to 1h"}},
		{"grace short", "ring attic interval=10s grace=9s\n", []string{"1: grace=9s must be 10s"}},
		{"grace long", "ring attic grace=100000h\n", []string{"1: grace=100000h must be"}},
		{"route", "ring attic route=Walk\n", []string{`1: route=: "Walk" must be hop or walk`}},
		{"ring field twice", "ring attic copies=2 copies=3\n", []string{`1: the field "copies" is there twice`}},
		{"ring field unknown", "ring attic bits=160\n", []string{`1: unknown field "bits=160"`}},
		{"ring comment at its end", "ring attic # ours\n", []string{`1: unknown field "#"`, `1: unknown field "ours"`}},
		{"unknown kind", ringLine + "Peer 1 alice\n", []string{`2: unknown kind of line "Peer"`}},
		{"admin words", ringLine + "admin\n", []string{"2: admin KEY"}},
		{"admin shape", ringLine + "admin RWQabc\n", []string{"2: not a minisign public key"}},
		{"admin algorithm", ringLine + "admin " + strings.Replace(testAdmin(t, "admin"), "RW", "RU", 1) + "\n", []string{"2: not a minisign public key"}},
		{"admin low order", ringLine + "admin " + base64.StdEncoding.EncodeToString(append([]byte("EdKEYIDKEY"), make([]byte, 32)...)) + "\n", []string{"2: its key is a low-order point"}},
		{"admin twice", ringLine + "admin " + testAdmin(t, "admin") + "\nadmin " + testAdmin(t, "admin") + "\n", []string{"3: its key is that of admin "}},
		{"peer words", ringLine + "peer 1 alice\n", []string{"2: the line must be: peer ID NAME KEY"}},
		{"peer id negative", ringLine + fmt.Sprintf("peer -1 alice %s addr=a:1\n", alice), []string{`2: the id "-1" must be`}},
		{"peer id big", ringLine + fmt.Sprintf("peer 65536 alice %s addr=a:1\n", alice), []string{`2: the id "65536" must be`}},
		{"peer id spelled", ringLine + fmt.Sprintf("peer 01 alice %s addr=a:1\n", alice), []string{`2: the id "01" must be`}},
		{"peer name", ringLine + fmt.Sprintf("peer 1 -alice %s addr=a:1\n", alice), []string{`2: the name "-alice" must begin`}},
		{"peer name long", ringLine + fmt.Sprintf("peer 1 %s %s addr=a:1\n", strings.Repeat("a", 65), alice), []string{"2: the name has 65 characters"}},
		{"peer name of another's id", ringLine + fmt.Sprintf("peer 1 5 %s addr=a:1\n", alice), []string{"2: the name 5 is a number but not its own id"}},
		{"peer key", ringLine + fmt.Sprintf("peer 1 alice %sq addr=a:1\n", alice), []string{"2: it has 113 characters"}},
		{"peer key low order", ringLine + fmt.Sprintf("peer 1 alice %s addr=a:1\n", lowOrder), []string{"2: its first half (X25519) is a low-order point"}},
		{"peer secret key", ringLine + fmt.Sprintf("peer 1 alice %s addr=a:1\n", testSecret(t, "alice").Text()), []string{"2: this is a secret key"}},
		{"peer without address", ringLine + fmt.Sprintf("peer 1 alice %s drain\n", alice), []string{"2: it has no addr=HOST:PORT"}},
		{"peer address", ringLine + fmt.Sprintf("peer 1 alice %s addr=\n", alice), []string{`2: addr="" must be HOST:PORT`}},
		{"peer address twice", ringLine + peer(" addr=b:1"), []string{`2: the field "addr" is there twice`}},
		{"peer field unknown", ringLine + peer(" weight=3"), []string{`2: peer 1 alice: unknown field "weight=3"`}},
		{"peer drain with a value", ringLine + peer(" drain=yes"), []string{`2: unknown field "drain=yes"`}},
		{"peer pos without a value", ringLine + peer(" pos"), []string{`2: unknown field "pos"`}},
		{"peer role", ringLine + peer(" role=king"), []string{`2: role=: unknown role "king"`}},
		{"peer pos", ringLine + peer(" pos=18446744073709551616"), []string{"2: pos=: "}},
		{"peer pos sign", ringLine + peer(" pos=0x-1"), []string{"2: pos=: "}},
		{"peer next", ringLine + peer(" next=sp1"), []string{"2: next=: "}},
		{"peer next is its key", ringLine + peer(" next="+alice.String()), []string{"2: next= is that of peer 1 alice in line 2"}},
		{"next is another's key", ringLine + peer(" next="+bob.String()) + peerLine(t, 2, "bob", ""), []string{"3: key is that of peer 1 alice in line 2"}},
		{"two ids", ringLine + peer("") + peerLine(t, 1, "bob", ""), []string{"3: peer 1 bob: id 1 is that of peer 1 alice in line 2"}},
		{"two names", ringLine + peer("") + fmt.Sprintf("peer 2 alice %s addr=b:1\n", bob), []string{"3: the name alice is that of peer 1 alice in line 2"}},
		{"two names but for case", ringLine + peer("") + fmt.Sprintf("peer 2 Alice %s addr=b:1\n", bob), []string{"3: the name Alice is that of peer 1 alice in line 2"}},
		{"two addresses", ringLine + peer("") + fmt.Sprintf("peer 2 bob %s addr=ALICE.example.net:7460\n", bob), []string{"3: addr=ALICE.example.net:7460 is that of peer 1 alice in line 2"}},
		{"two spellings of one address", ringLine + fmt.Sprintf("peer 1 alice %s addr=[2001:DB8::0:1]:1\npeer 2 bob %s addr=[2001:db8::1]:1\n", alice, bob), []string{"3: addr=[2001:db8::1]:1 is that of peer 1 alice in line 2"}},
		{"two keys", ringLine + peer("") + fmt.Sprintf("peer 2 bob %s addr=b:1\n", alice), []string{"3: key is that of peer 1 alice in line 2"}},
		{"first halves", ringLine + peer("") + fmt.Sprintf("peer 2 bob %s addr=b:1\n", mixed), []string{"3: first half (X25519) of key"}},
		{"second halves", ringLine + peerLine(t, 1, "bob", "") + fmt.Sprintf("peer 2 alice %s addr=b:1\n", mixed), []string{"3: second half (Ed25519) of key"}},
		{"two positions", ringLine + peer(" pos=7") + peerLine(t, 2, "bob", " pos=0x7"), []string{"3: position 7 is that of peer 1 alice in line 2"}},
		{"a position that another has by its id", ringLine + peer("") + peerLine(t, 2, "bob", fmt.Sprintf(" pos=%d", wire.PosOf(wire.Space64, 1))), []string{"3: position 9223372036854775808 is that of peer 1 alice in line 2"}},
		{"a position by its id that another has by pos=", ringLine + peerLine(t, 2, "bob", " pos=0x8000000000000000") + peer(""), []string{"3: position 9223372036854775808, which follows from its id, is that of peer 2 bob in line 2"}},
		{"revoked id", ringLine + peer("") + fmt.Sprintf("revoke 1 bob %s\n", bob), []string{"3: revoke 1 bob: id 1 is that of peer 1 alice in line 2"}},
		{"revoked name", ringLine + peer("") + fmt.Sprintf("revoke 2 alice %s\n", bob), []string{"3: the name alice"}},
		{"revoked key comes back", ringLine + fmt.Sprintf("revoke 2 old %s\n", alice) + peer(""), []string{"3: key is that of revoke 2 old in line 2"}},
		{"revoked key as next", ringLine + fmt.Sprintf("revoke 2 old %s\n", bob) + peer(" next="+bob.String()), []string{"3: next= is that of revoke 2 old in line 2"}},
		{"two revoked ids", ringLine + fmt.Sprintf("revoke 2 old %s\nrevoke 2 older %s\n", alice, bob), []string{"3: revoke 2 older: id 2 is that of revoke 2 old in line 2"}},
		{"revoke words", ringLine + fmt.Sprintf("revoke 2 old %s since=2026\n", bob), []string{"2: the line must be: revoke ID NAME KEY"}},
		{"classic id", "ring seed space=8\n" + peerLine(t, 256, "alice", ""), []string{"2: id 256 is over 255, the last of space=8"}},
		{"classic position", peer(" pos=1") + "ring seed space=8\n", []string{"1: pos= has no place in space=8"}},
		{"carriage returns", strings.ReplaceAll(ringLine+peer(""), "\n", "\r\n"), []string{"1: CR LF"}},
		{"a carriage return inside", ringLine + "# a\rb\n", []string{"2: U+000D"}},
		{"NUL", ringLine + "# \x00\n", []string{"2: U+0000"}},
		{"escape", ringLine + "peer 1 \x1b[31malice\n", []string{"2: U+001B"}},
		{"text turned round", ringLine + "# a\u202eb\n", []string{"2: U+202E"}},
		{"a line separator", ringLine + "# a\u2028peer\n", []string{"2: U+2028"}},
		{"not UTF-8", ringLine + "# \xff\n", []string{"2: not UTF-8"}},
		{"byte order mark", "\uFEFF" + ringLine, []string{"1: byte order mark"}},
		{"a blank that is none", ringLine + strings.ReplaceAll(peer(""), " ", "\u00a0"), []string{"2: unknown kind"}},
		{"no newline at the end", strings.TrimSuffix(ringLine+peer(""), "\n"), []string{"2: no newline at its end"}},
		{"a long line", ringLine + "#" + strings.Repeat("x", maxLineSize) + "\n", []string{"2: longer than 4096 bytes"}},
		{"a ring line that cannot be read", "ring attic \x07\n", []string{"1: U+0007"}},
		{"many at once", peer(" x=1") + "what\n" + peerLine(t, 1, "bob", "") + fmt.Sprintf("peer 70000 alice %s addr=b\n", mixed), []string{
			"0: no ring line",
			`1: unknown field "x=1"`,
			`2: unknown kind of line "what"`,
			"3: id 1 is that of peer 1 alice in line 1",
			`4: the id "70000"`, "4: the name alice", "4: first half", "4: second half", `4: addr="b" must be HOST:PORT`,
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, err := ParseRoster([]byte(c.text))
			if err == nil {
				t.Fatalf("parsed:\n%s", c.text)
			}
			if r != nil {
				t.Error("a roster came with the error")
			}
			wantFaults(t, err, c.want...)
			if strings.Contains(strings.ToLower(err.Error()), "securepeer-key-1") && !strings.Contains(c.name, "secret") {
				t.Errorf("the error shows a secret: %v", err)
			}
		})
	}
}

func TestAddresses(t *testing.T) {
	for _, good := range []string{
		"host:1", "host:65535", "a.b-c.example.net:7460", "127.0.0.1:80", "[::1]:7460", "[2001:db8::ffff:1]:9",
		"my_host:5", "9p:1", "1.2.3.net:4", "0xg:1", "169.254.1.2:1", "[fec0::1]:1", "10.0.0.255:1", strings.Repeat("a", 63) + ":1",
	} {
		if err := checkAddr(good); err != nil {
			t.Errorf("checkAddr(%q) = %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"": "must be HOST:PORT", "host": "must be HOST:PORT", ":7460": "no host name", "host:": "the port", "host:0": "the port",
		"host:65536": "the port", "host:+1": "the port", "host:007": "the port", "host:http": "the port", "host:-1": "the port",
		"::1:7460": "in brackets", "2001:db8::1": "in brackets", "[::1]": "in brackets", "[host]:1": "no host name", "[127.0.0.1]:1": "no host name",
		"1.2.3:4": "no host name", "256.1.1.1:4": "no host name", "1.2.3.4.5:4": "no host name", "-host:1": "no host name", "host-:1": "no host name",
		"a..b:1": "no host name", "host.:1": "no host name", "ho$t:1": "no host name", "hôst:1": "no host name", "a/b:1": "no host name",
		"0.0.0.0:1": "nobody can dial", "[::]:1": "nobody can dial", "[fe80::1%eth0]:1": "one machine only",
		strings.Repeat("a", 64) + ":1": "no host name", strings.Repeat("a.", 127) + "a:1": "no host name",
	} {
		if err := checkAddr(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("checkAddr(%q) = %v, want %q", bad, err, want)
		}
	}
}

// TestAddressesThatNobodyCanDialAreRefused: of whatever kind, however spelled.
func TestAddressesThatNobodyCanDialAreRefused(t *testing.T) {
	for bad, want := range map[string]string{
		"[fe80::1]:1": "link-local", "[febf::1]:1": "link-local", "[::ffff:0.0.0.0]:1": "nobody can dial 0.0.0.0", "[::0:0]:1": "nobody can dial",
		"[::2]:1": "nobody can dial", "[::127.0.0.1]:1": "nobody can dial", "0.1.2.3:1": "nobody can dial",
		"224.0.0.1:1": "multicast", "239.255.255.250:1": "multicast", "[ff02::1]:1": "multicast", "[ff0e::1%eth0]:1": "one machine only",
		"[::ffff:224.0.0.1]:1": "multicast", "255.255.255.255:1": "broadcast", "[::ffff:255.255.255.255]:1": "broadcast",
		"[::ffff:192.0.2.1]:7460": "write 192.0.2.1:7460", "[::ffff:c000:201]:7460": "write 192.0.2.1:7460",
		"127.1:1": "no host name", "2130706433:1": "no host name", "0x7f000001:1": "no host name", "0x7F.0x1:1": "no host name",
		"127.0.0.0x1:1": "no host name", "0x:1": "no host name", "0177.0.0.1:1": "no host name", "a b:1": "no host name",
	} {
		if err := checkAddr(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("checkAddr(%q) = %v, want %q", bad, err, want)
		}
	}
}

// TestListenAddresses: --listen takes what a machine may have, also what the
// others could not dial.
func TestListenAddresses(t *testing.T) {
	for _, good := range []string{":0", ":7460", "0.0.0.0:1", "[::]:1", "[::ffff:0.0.0.0]:1", "127.0.0.1:0", "[::1]:1", "host:1", "[fe80::1%eth0]:1", "[2001:db8::1]:1"} {
		if err := CheckListen(good); err != nil {
			t.Errorf("CheckListen(%q) = %v", good, err)
		}
	}
	for bad, want := range map[string]string{
		"nonsense": "must be HOST:PORT", "": "must be HOST:PORT", "host:http": "the port", "host:65536": "the port", "host:-1": "the port",
		"::1:7460": "must be HOST:PORT", "[fe80::1]:1": "needs its zone", "224.0.0.1:1": "multicast", "[ff02::1]:1": "multicast", "[ff02::1%eth0]:1": "multicast",
		"255.255.255.255:1": "broadcast", "[::ffff:255.255.255.255]:1": "broadcast", "127.1:1": "no host name", "0x7f000001:1": "no host name", "a b:1": "no host name",
	} {
		if err := CheckListen(bad); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("CheckListen(%q) = %v, want %q", bad, err, want)
		}
	}
}

func TestFaultsAreCappedAndPastedSecretsHidden(t *testing.T) {
	_, err := ParseRoster([]byte(strings.Repeat("x\n", 1000)))
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != maxFaults+1 || lines[0] != "and 901 more faults" && lines[maxFaults] != "and 901 more faults" {
		t.Errorf("%d lines, last %q, want %d and 901 more", len(lines), lines[len(lines)-1], maxFaults+1)
	}
	secret := testSecret(t, "alice").Text()
	for _, text := range []string{
		secret + "\n", "ring " + secret + "\n", "ring a x=" + secret + "\n", "admin " + secret + "\n",
		"peer " + secret + " a b\n", "peer 1 " + secret + " b\n", "peer 1 a " + secret + "\n", "peer 1 a b addr=" + secret + "\n",
		"peer 1 a b role=" + secret + "\n", "peer 1 a b next=" + secret + "\n", "peer 1 a b pos=" + secret + "\n", "revoke 1 a " + strings.ToLower(secret) + "\n",
	} {
		_, err := ParseRoster([]byte(text))
		if err == nil || strings.Contains(strings.ToUpper(err.Error()), secret[:20]) {
			t.Errorf("the error of a pasted secret is %v", err)
		}
	}
}

func TestLongRostersAreRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "roster")
	big := append([]byte(ringLine), make([]byte, maxRosterSize)...)
	for i := len(ringLine); i < len(big); i++ {
		big[i] = '\n'
	}
	if _, err := ParseRoster(big); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("ParseRoster = %v, want it refused for its length", err)
	}
	if _, err := ParseRoster(big[:maxRosterSize]); err != nil {
		t.Errorf("ParseRoster of the longest = %v", err)
	}
	if err := os.WriteFile(path, big, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := LoadRoster(path); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Errorf("LoadRoster = %v, want it refused for its length", err)
	}
}

// Every prefix of a roster is refused, but for those that end with a line:
// those are rosters with fewer lines.
func TestPrefixesOfARoster(t *testing.T) {
	text := fullRoster(t)
	for n := range len(text) {
		whole := n > 0 && text[n-1] == '\n' && n >= strings.Index(text, ringLine)+len(ringLine)
		if _, err := ParseRoster([]byte(text[:n])); (err == nil) != whole {
			t.Fatalf("the first %d of %d bytes: %v", n, len(text), err)
		}
	}
}

func TestAddRefusesWhatTheLoaderRefuses(t *testing.T) {
	text := fullRoster(t)
	alice, dave := testPublic(t, "alice"), testPublic(t, "dave")
	eve := Member{ID: 3, Name: "eve", Key: testPublic(t, "eve"), Addr: "eve:7460"}
	for want, change := range map[string]func(*Member){
		"id 14 is that of peer 14 bob":                func(m *Member) { m.ID = 14 },
		"id 9 is that of revoke 9 dave":               func(m *Member) { m.ID = 9 },
		"the name BOB is that of peer 14 bob":         func(m *Member) { m.Name = "BOB" },
		"the name is empty":                           func(m *Member) { m.Name = "" },
		`the name "eve\npeer 4" may have`:             func(m *Member) { m.Name = "eve\npeer 4" },
		"half (X25519) of key is that of peer 0":      func(m *Member) { m.Key.Noise = alice.Noise },
		"half (Ed25519) of key is that of revoke":     func(m *Member) { m.Key.Sign = dave.Sign },
		"eve: next= is that of peer 0 alice":          func(m *Member) { m.Next = &alice },
		"eve: key is that of peer 0 alice":            func(m *Member) { m.Key = alice },
		"position 12345 is that of peer 0 alice":      func(m *Member) { m.Pos, m.HasPos = 12345, true },
		"low-order point":                             func(m *Member) { m.Key = Public{} },
		"must be HOST:PORT":                           func(m *Member) { m.Addr = "eve" },
		"addr=Alice.example.net:7460 is that of peer": func(m *Member) { m.Addr = "Alice.example.net:7460" },
	} {
		r, bad := mustParse(t, text), eve
		change(&bad)
		err := r.Add(bad)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Add(%+v) = %v, want %q", bad, err, want)
		}
		if what := bad.describe() + ": "; err != nil && (!strings.HasPrefix(err.Error(), "adding "+what) || strings.Contains(err.Error(), what+what)) {
			t.Errorf("Add(%+v) = %v, want %q once", bad, err, what)
		}
		if got := string(r.Append(nil)); got != text {
			t.Errorf("a refused Add changed the roster to\n%s", got)
		}
	}
}

func TestAddAndRemoveKeepTheRest(t *testing.T) {
	text := fullRoster(t)
	r := mustParse(t, text)
	eve := Member{ID: 3, Name: "eve", Key: testPublic(t, "eve"), Addr: "eve.example.net:7460"}
	if err := r.Add(eve); err != nil {
		t.Fatal(err)
	}
	if m, ok := r.ByID(3); !ok || m.Pos != wire.PosOf(wire.Space64, 3) {
		t.Errorf("ByID(3) = %+v, %v, want a computed position", m, ok)
	}
	bob := peerLine(t, 14, "bob", "")
	if got, want := string(r.Append(nil)), strings.Replace(text, bob, peerLine(t, 3, "eve", "")+bob, 1); got != want {
		t.Errorf("with eve:\n%s\nwant\n%s", got, want)
	}
	if err := r.Validate(); err != nil {
		t.Error(err)
	}
	if err := r.Remove(3); err != nil {
		t.Fatal(err)
	}
	if got := string(r.Append(nil)); got != text {
		t.Errorf("without eve:\n%s\nwant\n%s", got, text)
	}
	if err := r.Remove(3); err == nil {
		t.Error("removed eve twice")
	}
	if err := r.Remove(65535); err != nil {
		t.Fatal(err)
	}
	if got := string(r.Append(nil)); strings.Contains(got, "second floor") || !strings.Contains(got, "first floor") {
		t.Errorf("carol went, her comment should, and no other:\n%s", got)
	}
}

func TestNextIDIsTheLowestNeverUsed(t *testing.T) {
	r := mustParse(t, ringLine)
	for want := range 9 {
		id, ok := r.NextID()
		if !ok || int(id) != want {
			t.Fatalf("NextID = %d, %v, want %d", id, ok, want)
		}
		name := fmt.Sprint("n", want)
		if err := r.Add(Member{ID: id, Name: name, Key: testPublic(t, name), Addr: name + ":1"}); err != nil {
			t.Fatal(err)
		}
	}
	r = mustParse(t, ringLine+peerLine(t, 0, "alice", "")+peerLine(t, 2, "bob", "")+fmt.Sprintf("revoke 1 dave %s\n", testPublic(t, "dave")))
	if id, ok := r.NextID(); !ok || id != 3 {
		t.Errorf("NextID = %d, %v, want 3: 1 was used by a revoked member", id, ok)
	}
	r = mustParse(t, ringLine+peerLine(t, 9, "alice", fmt.Sprintf(" pos=%d", wire.PosOf(wire.Space64, 0)))+
		peerLine(t, 8, "bob", fmt.Sprintf(" pos=%d", wire.PosOf(wire.Space64, 1)))+peerLine(t, 2, "carol", " pos=5"))
	for _, want := range []wire.ID{3, 4} {
		id, ok := r.NextID()
		if !ok || id != want {
			t.Errorf("NextID = %d, %v, want %d: the positions of 0 and 1 are those of others", id, ok, want)
		}
		name := fmt.Sprint("n", id)
		if err := r.Add(Member{ID: id, Name: name, Key: testPublic(t, name), Addr: name + ":1"}); err != nil {
			t.Error(err)
		}
	}
	full := &Roster{Space: wire.Space8}
	for id := range wire.ID(256) {
		full.Members = append(full.Members, Member{ID: id})
	}
	if id, ok := full.NextID(); ok {
		t.Errorf("NextID = %d in a full classic ring, want none", id)
	}
	full.Space = wire.Space64
	if id, ok := full.NextID(); !ok || id != 256 {
		t.Errorf("NextID = %d, %v, want 256", id, ok)
	}
}

func TestValidateSeesWhatAProgramDidWrong(t *testing.T) {
	for want, change := range map[string]func(*Roster){
		"its lines are not sorted": func(r *Roster) { r.Revoked[0], r.Revoked[1] = r.Revoked[1], r.Revoked[0] },
		"not sorted":               func(r *Roster) { r.Members[0], r.Members[1] = r.Members[1], r.Members[0] },
		"is not that of its id":    func(r *Roster) { r.Members[1].Pos++ },
		"id 0 is that of":          func(r *Roster) { r.Members[1].ID = 0 },
		"copies=0":                 func(r *Roster) { r.Copies = 0 },
		"the name is empty":        func(r *Roster) { r.Ring = "" },
		"route=Route(7) must be":   func(r *Roster) { r.Route = 7 },
		"space=9 must be":          func(r *Roster) { r.Space = 9 },
		"not a minisign":           func(r *Roster) { r.Admins[0] = "x\ny" },
		"low-order point":          func(r *Roster) { r.Revoked[0].Key = Public{} },
		"pos= has no place":        func(r *Roster) { r.Space = wire.Space8 },
		"id 65535 is over 255":     func(r *Roster) { r.Space = wire.Space8 },
	} {
		r := mustParse(t, fullRoster(t))
		change(r)
		if err := r.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Validate = %v, want %q", err, want)
		}
		if err := WriteRoster(filepath.Join(t.TempDir(), "roster"), r); err == nil {
			t.Errorf("WriteRoster wrote a roster with %s", want)
		}
	}
}

// Revoke keeps the key and the id of who goes, and the result is a roster that
// can be written and read.
func TestRevoke(t *testing.T) {
	r := mustParse(t, fullRoster(t))
	gone := r.Members[1]
	if err := r.Revoke(gone.ID); err != nil {
		t.Fatal(err)
	}
	if err := r.Validate(); err != nil {
		t.Fatal(err)
	}
	again, err := ParseRoster(r.Append(nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := again.ByID(gone.ID); ok {
		t.Error("the revoked peer is still a member")
	}
	kept := false
	for _, v := range again.Revoked {
		kept = kept || v.ID == gone.ID && v.Key == gone.Key && v.Name == gone.Name
	}
	if !kept {
		t.Errorf("the revoke lines are %v, want one of %v", again.Revoked, gone.ID)
	}
	if id, ok := again.NextID(); !ok || id == gone.ID {
		t.Errorf("the next id is %v, that of the revoked peer", id)
	}
	if err := r.Revoke(gone.ID); err == nil {
		t.Error("a peer was revoked twice")
	}
}
