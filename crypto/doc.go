// Package crypto is a secret link between two peers that know each other's
// public keys: a Noise handshake made hybrid with ML-KEM-768, sealed records
// over a stream, and sealed pings over datagrams.
//
// A program calls [Dial] on a raw connection it has opened, and [Listen] on a
// listener; both give a [Conn], which is a net.Conn that also carries typed
// records. A [PingTable] holds the ping sessions that those links bring.
// Below them every step takes bytes and returns bytes: [NewInitiator],
// [Initiator.Finish], [Respond], [Responder.Answer].
//
// It does not know who may speak (the caller's roster does, through
// [Config.Lookup]) nor what records and pings mean. The layout of every byte
// is in docs/protocol.md.
package crypto
