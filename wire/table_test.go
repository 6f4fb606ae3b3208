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
		Mtime: 1700000000e9, Size: 5, Blocks: Sum(filled(32, 0xc3)), Sig: Sig(filled(64, 0xd4)),
	}
	sampleTombstone = Manifest{
		Name: "notes/plan.txt", Version: 3, Writer: 14, Signer: 9, Flags: Tombstone,
		Mtime: 1700000001e9, Sig: Sig(filled(64, 0xe5)),
	}

	samplePing = Ping{
		Echo: 0x0102030405060708, Mine: 3, Yours: 4, Serial: 42,
		Roster: Digest8(filled(8, 0xd8)), View: Digest(filled(16, 0xf6)),
	}
	sampleAck = Ping{
		Ack: true, Said: SaidUnreachable, Echo: 0x0102030405060708, Mine: 4, Yours: 3, Serial: 42,
		Roster: Digest8(filled(8, 0xd8)), View: Digest(filled(16, 0xf6)),
	}
)

// sampleSums has the number of a bucket in all bytes of its sum.
var sampleSums = func() (sums [NumBuckets]Digest8) {
	for i := range sums {
		sums[i] = Digest8(filled(8, byte(i)))
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
		Found{9, false, true, []Manifest{sampleManifest}},
		"0000000900010001000e6e6f7465732f706c616e2e7478740000000000000002000e000e0001a417979cfe362a000000" +
			"000000000000000000000000000005c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3d4" +
			"d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4" +
			"d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4",
	},
	{
		"Offer", TypeOffer,
		Offer{10, 2, sampleManifest},
		"0000000a0002000e6e6f7465732f706c616e2e7478740000000000000002000e000e0001a417979cfe362a0000000000" +
			"00000000000000000000000005c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3d4d4d4" +
			"d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4" +
			"d4d4d4d4d4d4d4d4d4d4d4d4d4",
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
		Listed{11, true, []Manifest{sampleTombstone}},
		"0000000b010001000e6e6f7465732f706c616e2e7478740000000000000003000e000901000017979cfe71c4ca000000" +
			"00000000000000000000000000000000000000000000000000000000000000000000000000000000000000000000e5e5" +
			"e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5" +
			"e5e5e5e5e5e5e5e5e5e5e5e5e5e5",
	},
	{
		"Put", TypePut,
		Put{0x1122334455667788, 64 << 20, SizeUnknown, samplePing.Roster, "notes/plan.txt", []ID{5, 9, 14}},
		"11223344556677880000000004000000ffffffffffffffffd8d8d8d8d8d8d8d8000e6e6f7465732f706c616e2e747874" +
			"000300050009000e",
	},
	{
		"PutMore", TypePutMore,
		PutMore{},
		"",
	},
	{
		"PutEnd", TypePutEnd,
		PutEnd{sampleManifest},
		"000e6e6f7465732f706c616e2e7478740000000000000002000e000e0001a417979cfe362a0000000000000000000000" +
			"00000000000005c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3d4d4d4d4d4d4d4d4d4" +
			"d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4" +
			"d4d4d4d4d4d4d4",
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
		"8b06ef44bf5848387fc9e04e47e19d6a70327692052e3b87a7845f03eee80f6398c30348fb0fbb320000004000000020",
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
		"8b06ef44bf5848387fc9e04e47e19d6a70327692052e3b87a7845f03eee80f6398c30348fb0fbb320000000004000000" +
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
		"000000000000000000010101010101010102020202020202020303030303030303040404040404040405050505050505" +
			"0506060606060606060707070707070707080808080808080809090909090909090a0a0a0a0a0a0a0a0b0b0b0b0b0b0b" +
			"0b0c0c0c0c0c0c0c0c0d0d0d0d0d0d0d0d0e0e0e0e0e0e0e0e0f0f0f0f0f0f0f0f101010101010101011111111111111" +
			"111212121212121212131313131313131314141414141414141515151515151515161616161616161617171717171717" +
			"17181818181818181819191919191919191a1a1a1a1a1a1a1a1b1b1b1b1b1b1b1b1c1c1c1c1c1c1c1c1d1d1d1d1d1d1d" +
			"1d1e1e1e1e1e1e1e1e1f1f1f1f1f1f1f1f20202020202020202121212121212121222222222222222223232323232323" +
			"232424242424242424252525252525252526262626262626262727272727272727282828282828282829292929292929" +
			"292a2a2a2a2a2a2a2a2b2b2b2b2b2b2b2b2c2c2c2c2c2c2c2c2d2d2d2d2d2d2d2d2e2e2e2e2e2e2e2e2f2f2f2f2f2f2f" +
			"2f3030303030303030313131313131313132323232323232323333333333333333343434343434343435353535353535" +
			"3536363636363636363737373737373737383838383838383839393939393939393a3a3a3a3a3a3a3a3b3b3b3b3b3b3b" +
			"3b3c3c3c3c3c3c3c3c3d3d3d3d3d3d3d3d3e3e3e3e3e3e3e3e3f3f3f3f3f3f3f3f",
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
		"01000000010203040506070800000000000000030000000000000004000000000000002ad8d8d8d8d8d8d8d8f6f6f6f6" +
			"f6f6f6f6f6f6f6f6f6f6f6f60000000000000000",
	},
	{
		"Ack",
		sampleAck.Append,
		"02020000010203040506070800000000000000040000000000000003000000000000002ad8d8d8d8d8d8d8d8f6f6f6f6" +
			"f6f6f6f6f6f6f6f6f6f6f6f60000000000000000",
	},
	{
		"Manifest",
		sampleManifest.Append,
		"000e6e6f7465732f706c616e2e7478740000000000000002000e000e0001a417979cfe362a0000000000000000000000" +
			"00000000000005c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3d4d4d4d4d4d4d4d4d4" +
			"d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4d4" +
			"d4d4d4d4d4d4d4",
	},
	{
		"ManifestTombstone",
		sampleTombstone.Append,
		"000e6e6f7465732f706c616e2e7478740000000000000003000e000901000017979cfe71c4ca00000000000000000000" +
			"000000000000000000000000000000000000000000000000000000000000000000000000000000e5e5e5e5e5e5e5e5e5" +
			"e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5e5" +
			"e5e5e5e5e5e5e5",
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
		"SignedManifest",
		func(b []byte) []byte { return sampleManifest.SignedBytes("attic", b) },
		"736563757265706565722f31206d616e696665737400056174746963000e6e6f7465732f706c616e2e74787400000000" +
			"00000002000e000e0001a417979cfe362a000000000000000000000000000000000005c3c3c3c3c3c3c3c3c3c3c3c3c3" +
			"c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3c3",
	},
}

// types is every type that has a name.
func types() []Type {
	var all []Type
	for v, name := range typeNames {
		if name != "" {
			all = append(all, Type(v))
		}
	}
	return all
}
