package node

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"

	"securepeer/crypto"
	"securepeer/keys"
)

// TestDialErrorNamesAnAddressOnce: the system's error has the address too, and
// the roster's may be a name that has several.
func TestDialErrorNamesAnAddressOnce(t *testing.T) {
	refused := os.NewSyscallError("connect", syscall.ECONNREFUSED).Error()
	for addr, hosts := range map[string][]string{
		"127.0.0.1:%d": nil,
		"[::1]:%d":     nil,
		"one.test:%d":  {"127.0.0.2"},
		"two.test:%d":  {"127.0.0.2", "127.0.0.3"},
	} {
		if strings.HasPrefix(addr, "[") && !hasIPv6(t) {
			continue
		}
		port := free(t)
		names := &nameServer{answers: map[string][]string{"one.test": hosts, "two.test": hosts}}
		secret, roster := loneRoster(t, "127.0.0.1:1")
		n, err := New(Config{Secret: secret, Roster: roster, Dir: t.TempDir(), Listen: "127.0.0.1:0", Resolve: names.resolve})
		if err != nil {
			t.Fatal(err)
		}
		defer n.Close()
		b := keys.Member{ID: 2, Name: "b", Key: roster.Members[0].Key, Addr: fmt.Sprintf(addr, port)}
		want := []string{refused}
		if hosts != nil {
			want = nil
		}
		for _, host := range hosts {
			want = append(want, fmt.Sprintf("%s:%d: %s", host, port, refused))
		}
		_, err = n.dial(t.Context(), b, crypto.Ring)
		rest, ok := strings.CutPrefix(fmt.Sprint(err), "dialling b at "+b.Addr+": ")
		got := strings.Split(rest, "; ")
		slices.Sort(got) // beside each other
		if !ok || !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %q", b.Addr, err, want)
		}
	}
}
