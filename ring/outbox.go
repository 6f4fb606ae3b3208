package ring

import "securepeer/wire"

// outbox collects the actions of one step, and numbers requests.
type outbox struct {
	acts []Action
	req  uint32
}

func (o *outbox) do(a Action) { o.acts = append(o.acts, a) }

func (o *outbox) send(to wire.ID, m wire.Message) { o.do(Send{to, m}) }

func (o *outbox) notify(k Kind, peer wire.ID, name string) {
	o.do(Notify{Notice{Kind: k, Peer: peer, Name: name}})
}

func (o *outbox) done(op Op, r Result) { o.do(Done{op, r}) }

// number returns a request number that none in flight has, of this run or of one
// before, whose answers may still come (R28).
func (o *outbox) number() uint32 {
	o.req++
	return o.req
}

// never is a time that does not come.
const never = Time(1<<63 - 1)
