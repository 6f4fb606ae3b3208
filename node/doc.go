// Package node is one running peer: it owns the sockets and the disk, drives
// the pure machine of package ring, and moves the bytes of files. It is what a
// program embeds.
//
//	n, err := node.New(node.Config{Secret: secret, Roster: roster, Dir: dir})
//	go n.Run(ctx)
//	<-n.Ready()
//	n.Put(ctx, "notes/today", file, node.PutOptions{})
//
// [Node.Close] stops the peer and keeps its data; [Node.Leave] gives the data
// away first. Package node decides nothing about who is next, who holds what,
// or which version wins: ring does. What is behind each sentence here is in
// docs/design.md.
package node
