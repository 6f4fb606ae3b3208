// Package lab is a network laboratory for tests with real processes: n Linux
// network namespaces, each with one interface, joined by a switch that runs in
// this process and can lose, delay, duplicate, reorder, damage, throttle or
// cut what goes in each direction of each link.
//
// [New] builds it, [Lab.Start] runs a program in a namespace, [Lab.Set] makes
// a link bad, [Lab.Close] removes everything. What a lab leaves behind when
// its process is killed, the next New removes.
//
// Each namespace can have several addresses of both families
// ([Lab.AddAddr]), routes that refuse ([Lab.AddRoute]), files of its own in
// /etc ([Lab.WriteEtc]) and a [NameServer] to ask.
//
// It needs root and /dev/net/tun, and no programs: no ip, tc, nft, and no
// netem, which many kernels lack and which has no seed.
package lab
