package crypto_test

import (
	"context"
	"fmt"
	"io"
	"net"

	"securepeer/crypto"
	"securepeer/keys"
)

// Two members of the ring "attic" open a transfer link and pass some bytes.
func Example() {
	alice, err := keys.Generate()
	if err != nil {
		panic(err)
	}
	bob, err := keys.Generate()
	if err != nil {
		panic(err)
	}
	roster := map[[32]byte]keys.Public{
		alice.Public().Noise: alice.Public(),
		bob.Public().Noise:   bob.Public(),
	}
	config := func(own *keys.Secret) *crypto.Config {
		return &crypto.Config{
			Secret: own,
			Ring:   "attic",
			Info:   func() crypto.Info { return crypto.Info{Incarnation: 1} },
			Lookup: func(noise [32]byte) (keys.Public, bool) {
				member, ok := roster[noise]
				return member, ok
			},
			Pings:   crypto.NewPingTable(),
			Publish: func(*crypto.Conn) error { return nil },
		}
	}

	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	l := crypto.Listen(inner, config(bob))
	defer l.Close()

	go func() {
		raw, err := net.Dial("tcp", inner.Addr().String())
		if err != nil {
			panic(err)
		}
		link, err := crypto.Dial(context.Background(), raw, config(alice), bob.Public(), crypto.Transfer)
		if err != nil {
			panic(err)
		}
		fmt.Fprint(link, "a secret")
		link.CloseWrite() // an error would show at the other end
	}()

	link, err := l.Accept()
	if err != nil {
		panic(err)
	}
	defer link.Close()
	got, err := io.ReadAll(link)
	fmt.Println(link.Peer() == alice.Public(), string(got), err)
	// Output: true a secret <nil>
}
