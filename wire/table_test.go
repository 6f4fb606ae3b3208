package wire

import "bytes"

// The table of everything that has bytes: tests, fuzz seeds and the hex
// blocks of the protocol document all come from it. The hex was made from the
// document's layouts by hand and by another program, not by this package.

func filled(n int, b byte) []byte { return bytes.Repeat([]byte{b}, n) }

var (
	sampleRow  = Row{14, 3, Active, StoreID(filled(16, 0x5e)), Sig(filled(64, 0xa1))}
	sampleVote = Vote{9, 14, 3, Unreachable, 2, Sig(filled(64, 0xb2))}

	sampleManifest = Manifest{
		Name: "notes/plan.txt", Version: 2, Writer: 14, Signer: 14, Mode: 0o644,
		Mtime: 1700000000e9, Made: 1700000060e9, Size: 5, Blocks: Sum(filled(32, 0xc3)),
		Prior: Sum(filled(32, 0x96)), Sig: Sig(filled(64, 0xd4)),
	}
	sampleTombstone = Manifest{
		Name: "notes/plan.txt", Version: 3, Writer: 14, Signer: 9, Flags: Tombstone,
		Mtime: 1700000001e9, Made: 1700003600e9, Prior: sampleManifest.Sum(), Sig: Sig(filled(64, 0xe5)),
	}

	samplePing = Ping{
		Echo: 0x0102030405060708, Mine: 3, Yours: 4, Serial: 42,
		Roster: Digest(filled(16, 0xd8)), View: Digest(filled(16, 0xf6)),
	}
	sampleAck = Ping{
		Ack: true, Said: SaidUnreachable, Echo: 0x0102030405060708, Mine: 4, Yours: 3, Serial: 42,
		Roster: Digest(filled(16, 0xd8)), View: Digest(filled(16, 0xf6)),
	}
)

// samplePart is a part of a view: two members, a vote on the first.
func samplePart(yield func(Row, []Vote) bool) {
	_ = yield(sampleRow, []Vote{sampleVote}) &&
		yield(Row{78, 1, Joining, StoreID(filled(16, 0x5f)), Sig(filled(64, 0xa2))}, nil)
}

// sampleSums has the number of a bucket in all bytes of its sum.
var sampleSums = func() (sums [NumBuckets]Digest) {
	for i := range sums {
		sums[i] = Digest(filled(16, byte(i)))
	}
	return sums
}()

// messages has at least one row for every type. A name begins with that of
// its type.
var messages = []struct {
	name    string
	typ     Type
	message Message
	hex     string
}{
	{
		"Rows", TypeRows,
		Rows{[]Row{sampleRow}, []Vote{sampleVote}},
		"0001000e0000000000000003025e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5ea1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1" +
			"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1000100" +
			"09000e0000000000000003020000000000000002b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2" +
			"b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2",
	},
	{
		"Find", TypeFind,
		Find{7, ForPut, "notes/plan.txt"},
		"0000000702000e6e6f7465732f706c616e2e747874",
	},
	{
		"FindJoin", TypeFind,
		Find{8, ForJoin, ""},
		"00000008010000",
	},
	{
		"Ask", TypeAsk,
		Ask{7, 5},
		"000000070005",
	},
	{
		"Here", TypeHere,
		Here{7},
		"00000007",
	},
	{
		"Refuse", TypeRefuse,
		Refuse{7, CodeBusy},
		"00000007000a",
	},
	{
		"Look", TypeLook,
		Look{9, "notes/plan.txt"},
		"00000009000e6e6f7465732f706c616e2e747874",
	},
	{
		"Found", TypeFound,
		Found{9, CodeUnreadable, true, []Manifest{sampleManifest}},
		"00000009000c010001000e6e6f7465732f706c616e2e7478740000000000000002000e000e0001a417979cfe362a0000" +
			"17979d0c2e71580000000000000000000000000000000005c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3" +
			"c3c3c3c3c3c3c3c39696969696969696969696969696969696969696969696969696969696969696d4d4d4d4d4d4d4d4" +
			"d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4" +
			"d4d4d4d4d4d4d4d4",
	},
	{
		"Offer", TypeOffer,
		Offer{10, 2, sampleManifest},
		"0000000a0002000e6e6f7465732f706c616e2e7478740000000000000002000e000e0001a417979cfe362a000017979d" +
			"0c2e71580000000000000000000000000000000005c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3" +
			"c3c3c3c3c39696969696969696969696969696969696969696969696969696969696969696d4d4d4d4d4d4d4d4d4d4d4" +
			"d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4" +
			"d4d4d4d4d4",
	},
	{
		"Confirmed", TypeConfirmed,
		Confirmed{10, CodeOK},
		"0000000a0000",
	},
	{
		"Settled", TypeSettled,
		Settled{3, 21},
		"00000000000000030000000000000015",
	},
	{
		"List", TypeList,
		List{11, "notes/", ""},
		"0000000b00066e6f7465732f0000",
	},
	{
		"Listed", TypeListed,
		Listed{11, CodeOK, true, 3, []Manifest{sampleTombstone}},
		"0000000b00000100030001000e6e6f7465732f706c616e2e7478740000000000000003000e000901000017979cfe71c4ca00" +
			"1797a04466e2a00000000000000000000000000000000000000000000000000000000000000000000000000000000000" +
			"00000000000000002006297f1acd631ea96dd9f7f2d459d653fa6a3dc04dea9e841463e856391c95e5e5e5e5e5e5e5e5" +
			"e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5" +
			"e5e5e5e5e5e5e5e5",
	},
	{
		"Put", TypePut,
		Put{0x1122334455667788, 64 << 20, SizeUnknown, samplePing.Roster, "notes/plan.txt", []ID{5, 9, 14}},
		"11223344556677880000000004000000ffffffffffffffffd8d8d8d8d8d8d8d8d8d8d8d8d8d8d8d8000e6e6f7465732f" +
			"706c616e2e747874000300050009000e",
	},
	{
		"PutMore", TypePutMore,
		PutMore{},
		"",
	},
	{
		"PutEnd", TypePutEnd,
		PutEnd{sampleManifest},
		"000e6e6f7465732f706c616e2e7478740000000000000002000e000e0001a417979cfe362a000017979d0c2e71580000" +
			"000000000000000000000000000005c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c396" +
			"96969696969696969696969696969696969696969696969696969696969696d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4" +
			"d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4",
	},
	{
		"PutAck", TypePutAck,
		PutAck{CodeNotOwner, []Row{sampleRow}, nil},
		"00020001000e0000000000000003025e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5ea1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1" +
			"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a100" +
			"00",
	},
	{
		"Blocks", TypeBlocks,
		Blocks{KeyOf(Space64, "notes/plan.txt"), sampleManifest.Sum(), 64, 32},
		"8b06ef44bf5848382006297f1acd631ea96dd9f7f2d459d653fa6a3dc04dea9e841463e856391c950000004000000020",
	},
	{
		"BlockList", TypeBlockList,
		BlockList{[]Sum{Sum(filled(32, 7)), Sum(filled(32, 8))}},
		"000207070707070707070707070707070707070707070707070707070707070707070808080808080808080808080808" +
			"080808080808080808080808080808080808",
	},
	{
		"Get", TypeGet,
		Get{KeyOf(Space64, "notes/plan.txt"), sampleManifest.Sum(), 64 << 20, 1 << 20},
		"8b06ef44bf5848382006297f1acd631ea96dd9f7f2d459d653fa6a3dc04dea9e841463e856391c950000000004000000" +
			"0000000000100000",
	},
	{
		"Fail", TypeFail,
		Fail{CodeStuck},
		"0007",
	},
	{
		"Buckets", TypeBuckets,
		Buckets{Sums: sampleSums},
		"000000000000000000000000000000000001010101010101010101010101010101020202020202020202020202020202" +
			"020303030303030303030303030303030304040404040404040404040404040404050505050505050505050505050505" +
			"050606060606060606060606060606060607070707070707070707070707070707080808080808080808080808080808" +
			"08090909090909090909090909090909090a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b" +
			"0b0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0c0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0d0e0e0e0e0e0e0e0e0e0e0e0e0e0e0e" +
			"0e0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f10101010101010101010101010101010111111111111111111111111111111" +
			"111212121212121212121212121212121213131313131313131313131313131313141414141414141414141414141414" +
			"141515151515151515151515151515151516161616161616161616161616161616171717171717171717171717171717" +
			"1718181818181818181818181818181818191919191919191919191919191919191a1a1a1a1a1a1a1a1a1a1a1a1a1a1a" +
			"1a1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1b1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1d1d1d1d1d1d1d1d1d1d1d1d1d1d1d" +
			"1d1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1e1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f1f202020202020202020202020202020" +
			"202121212121212121212121212121212122222222222222222222222222222222232323232323232323232323232323" +
			"232424242424242424242424242424242425252525252525252525252525252525262626262626262626262626262626" +
			"262727272727272727272727272727272728282828282828282828282828282828292929292929292929292929292929" +
			"292a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2c2c2c2c2c2c2c2c2c2c2c2c2c2c2c" +
			"2c2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2d2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2e2f2f2f2f2f2f2f2f2f2f2f2f2f2f2f" +
			"2f3030303030303030303030303030303031313131313131313131313131313131323232323232323232323232323232" +
			"323333333333333333333333333333333334343434343434343434343434343434353535353535353535353535353535" +
			"353636363636363636363636363636363637373737373737373737373737373737383838383838383838383838383838" +
			"38393939393939393939393939393939393a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3a3b3b3b3b3b3b3b3b3b3b3b3b3b3b3b" +
			"3b3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3d3e3e3e3e3e3e3e3e3e3e3e3e3e3e3e" +
			"3e3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f3f",
	},
	{
		"PingReq", TypePingReq,
		PingReq{12, 14},
		"0000000c000e",
	},
	{
		"PingReqAck", TypePingReqAck,
		PingReqAck{12, true},
		"0000000c01",
	},
	{
		"Progress", TypeProgress,
		Progress{5 << 20},
		"0000000000500000",
	},
}

// others is what has bytes and is no message: datagrams, manifests as a store
// keeps them, and what signatures sign in the ring "attic".
var others = []struct {
	name   string
	append func(b []byte) []byte
	hex    string
}{
	{
		"Ping",
		samplePing.Append,
		"01000000010203040506070800000000000000030000000000000004000000000000002ad8d8d8d8d8d8d8d8d8d8d8d8" +
			"d8d8d8d8f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6",
	},
	{
		"Ack",
		sampleAck.Append,
		"02020000010203040506070800000000000000040000000000000003000000000000002ad8d8d8d8d8d8d8d8d8d8d8d8" +
			"d8d8d8d8f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6f6",
	},
	{
		"Manifest",
		sampleManifest.Append,
		"000e6e6f7465732f706c616e2e7478740000000000000002000e000e0001a417979cfe362a000017979d0c2e71580000" +
			"000000000000000000000000000005c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c396" +
			"96969696969696969696969696969696969696969696969696969696969696d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4" +
			"d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4",
	},
	{
		"ManifestTombstone",
		sampleTombstone.Append,
		"000e6e6f7465732f706c616e2e7478740000000000000003000e000901000017979cfe71c4ca001797a04466e2a00000" +
			"000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000020" +
			"06297f1acd631ea96dd9f7f2d459d653fa6a3dc04dea9e841463e856391c95e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5" +
			"e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5",
	},
	{
		"SignedRow",
		func(b []byte) []byte { return sampleRow.SignedBytes("attic", b) },
		"736563757265706565722f3120726f7700056174746963000e0000000000000003025e5e5e5e5e5e5e5e5e5e5e5e5e5e" +
			"5e5e",
	},
	{
		"SignedVote",
		func(b []byte) []byte { return sampleVote.SignedBytes("attic", b) },
		"736563757265706565722f3120766f7465000561747469630009000e0000000000000003020000000000000002",
	},
	{
		"Part",
		func(b []byte) []byte {
			for row, votes := range samplePart {
				b = appendEntry(b, row, votes)
			}
			return b
		},
		"000e0000000000000003025e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5ea1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1" +
			"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a10001000900" +
			"0e0000000000000003020000000000000002b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2" +
			"b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2b2004e0000000000000001015f5f5f" +
			"5f5f5f5f5f5f5f5f5f5f5f5f5fa2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2" +
			"a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a2a20000",
	},
	{
		"PartDigest",
		func(b []byte) []byte { d := PartDigest(samplePart); return append(b, d[:]...) },
		"2ea30f5722dffcaa58bbd97debb3d73d",
	},
	{
		"ViewDigest",
		func(b []byte) []byte {
			var parts [NumBuckets]Digest
			for i := range parts {
				parts[i] = PartDigest(func(func(Row, []Vote) bool) {})
			}
			parts[Bucket(sampleRow.ID)] = PartDigest(samplePart)
			d := ViewDigest(&parts)
			return append(b, d[:]...)
		},
		"0871fd0815d24f19e38dfe2b82916fbf",
	},
	{
		"SignedManifest",
		func(b []byte) []byte { return sampleManifest.SignedBytes("attic", b) },
		"736563757265706565722f31206d616e696665737400056174746963000e6e6f7465732f706c616e2e74787400000000" +
			"00000002000e000e0001a417979cfe362a000017979d0c2e71580000000000000000000000000000000005c3c3c3c3c3" +
			"c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3969696969696969696969696969696969696969696" +
			"9696969696969696969696",
	},
}

// types is every type that has a name.
func types() []Type {
	var all []Type
	for v, is := range register {
		if is.name != "" {
			all = append(all, Type(v))
		}
	}
	return all
}
