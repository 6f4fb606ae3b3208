package node_test

import (
	"bytes"
	"context"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"securepeer/keys"
	"securepeer/node"
)

// Two peers in one program: what one puts, the other gets.
func Example() {
	dir, err := os.MkdirTemp("", "securepeer")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	// Each peer has a secret of its own; the roster lists their public keys.
	// Every machine of a ring has the same one.
	roster, err := keys.NewRoster("attic")
	if err != nil {
		log.Fatal(err)
	}
	names := []string{"alice", "bob"}
	var secrets []*keys.Secret
	var listeners []net.Listener
	for _, name := range names {
		secret, err := keys.Generate()
		if err != nil {
			log.Fatal(err)
		}
		listener, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			log.Fatal(err)
		}
		id, _ := roster.NextID()
		if err := roster.Add(keys.Member{ID: id, Name: name, Key: secret.Public(), Addr: listener.Addr().String()}); err != nil {
			log.Fatal(err)
		}
		secrets, listeners = append(secrets, secret), append(listeners, listener)
	}

	peers := make([]*node.Node, len(names))
	for i, name := range names {
		peers[i], err = node.New(node.Config{
			Secret: secrets[i], Roster: roster, Dir: filepath.Join(dir, name),
			Interval: 100 * time.Millisecond, Listener: listeners[i],
		})
		if err != nil {
			log.Fatal(err)
		}
		defer peers[i].Close()
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	events := peers[0].Watch(ctx)
	for _, p := range peers {
		go p.Run(context.Background())
	}
	for _, p := range peers {
		<-p.Ready()
	}
	// A file that is put before the two have met is on one disk at first.
	for e := range events {
		if e.Kind == "member-seen" && e.Peer == "bob" {
			break
		}
	}

	put, err := peers[0].Put(ctx, "notes/today", strings.NewReader("water the plants"), node.PutOptions{})
	if err != nil {
		log.Fatal(err)
	}
	file, err := peers[1].Get(ctx, "notes/today", node.GetOptions{})
	if err != nil {
		log.Fatal(err)
	}
	var text bytes.Buffer
	if _, err := file.WriteTo(&text); err != nil {
		log.Fatal(err)
	}
	fmt.Printf("%d copies; %s says %q\n", len(put.Copies), file.Info.Writer, text.String())
	// Output: 2 copies; alice says "water the plants"
}
