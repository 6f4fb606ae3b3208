package keys

import (
	"encoding/hex"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// The pages with examples of this package: fenced blocks labelled hex or text
// with a name that begins with keys/.
const (
	protocolPage = "../docs/protocol.md"
	rosterPage   = "../docs/roster.md"
)

// pageExamples returns the blocks of a page by name: hex as bytes, without its
// comments, text as it stands.
func pageExamples(t *testing.T, path string) map[string]string {
	t.Helper()
	page, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	examples := map[string]string{}
	block := regexp.MustCompile("(?ms)^```(hex|text) keys/(\\S+)\n(.*?)^```$")
	comment := regexp.MustCompile(`#.*|\s`)
	for _, m := range block.FindAllStringSubmatch(string(page), -1) {
		kind, name, text := m[1], m[2], m[3]
		if _, ok := examples[name]; ok {
			t.Errorf("two blocks named %s", name)
		}
		if kind == "hex" {
			text = string(unhex(t, comment.ReplaceAllString(text, "")))
		}
		examples[name] = text
	}
	return examples
}

// Every example of the page is computed again from the two secrets it begins
// with, and none is there that is not.
func TestProtocolExamples(t *testing.T) {
	got := pageExamples(t, protocolPage)
	secret, err := newSecret([32]byte([]byte(got["Secret"])))
	if err != nil {
		t.Fatal(err)
	}
	revoked, err := ParsePublic(strings.TrimSpace(got["RevokedText"]))
	if err != nil {
		t.Fatal(err)
	}
	public := secret.Public()
	roster := mustParse(t, got["RosterAsEdited"])
	if len(roster.Members) != 1 || roster.Members[0].Key != public || len(roster.Revoked) != 1 || roster.Revoked[0].Key != revoked {
		t.Errorf("the roster has other members than the page: %+v", roster)
	}
	digest := roster.Digest()
	want := map[string]string{
		"Secret":         string(secret.m().seed[:]),
		"NoisePrivate":   string(secret.Noise().Bytes()),
		"NoisePublic":    string(public.Noise[:]),
		"SignSeed":       string(secret.m().sign.Seed()),
		"SignPublic":     string(public.Sign[:]),
		"Position":       string(unhex(t, fmt.Sprintf("%016x", uint64(roster.Members[0].Pos)))),
		"SecretText":     secret.Text() + "\n",
		"PublicText":     public.String() + "\n",
		"RevokedText":    revoked.String() + "\n",
		"File":           string(appendKeyFile(nil, secret, testTime)),
		"RosterAsEdited": got["RosterAsEdited"], // parsed above
		"Roster":         string(roster.Append(nil)),
		"RosterDigest":   string(digest[:]),
	}
	if again := mustParse(t, got["Roster"]); again.Digest() != digest {
		t.Error("the canonical roster has another digest than the edited one")
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("block %s is\n%s\nwant\n%s", name, shown(got[name]), shown(text))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			t.Errorf("no test executes block %s", name)
		}
	}
}

// The roster that operators are shown is one that loads, and is canonical.
func TestRosterPageExample(t *testing.T) {
	text := pageExamples(t, rosterPage)["ExampleRoster"]
	r := mustParse(t, text)
	if got := string(r.Append(nil)); got != text {
		t.Errorf("the example is written back as\n%s", got)
	}
	if id, ok := r.NextID(); !ok || id != 4 || len(r.Members) != 3 || len(r.Revoked) != 1 {
		t.Errorf("the example has %d members, %d revoked, next id %d", len(r.Members), len(r.Revoked), id)
	}
}

// shown is what belongs between the fences.
func shown(text string) string {
	if strings.HasSuffix(text, "\n") {
		return text
	}
	return hex.EncodeToString([]byte(text))
}
