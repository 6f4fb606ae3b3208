//go:build linux

package lab

import (
	"io"
	"net"
	"sync"
	"time"

	"securepeer/keys"
	"securepeer/wire"
)

// harm is one thing that a member can do to the others.
type harm struct {
	state   wire.State                              // in which it is; 0: full
	mute    bool                                    // it never answers a question for bytes
	outside bool                                    // it does not enter the ring
	before  func(p *puppet) error                   // what it prepares; nil: nothing
	look    func(p *puppet, name string) wire.Found // nil: an honest answer
	harm    func(p *puppet)                         // until its context ends
}

// harms are those of the last review, by name.
var harms = map[string]*harm{
	"idle": {outside: true, harm: holdDoors},
}

// eachMember does something for each other member at once, so many times each,
// and again until the puppet ends. A failure is followed by a pause.
func (p *puppet) eachMember(times int, do func(m keys.Member, i int) error) {
	var running sync.WaitGroup
	for _, m := range p.others() {
		for i := range times {
			running.Go(func() {
				for p.ctx.Err() == nil {
					if do(m, i) != nil {
						time.Sleep(lookEvery)
					}
				}
			})
		}
	}
	running.Wait()
}

// holdDoors keeps 34 connections to each member that say nothing, and comes
// again whenever one is closed.
func holdDoors(p *puppet) {
	p.eachMember(34, func(m keys.Member, _ int) error {
		c, err := net.DialTimeout("tcp", m.Addr, time.Second)
		if err != nil {
			return err
		}
		p.done.Add(1)
		stop := make(chan struct{})
		go func() { // ends with the connection
			select {
			case <-p.ctx.Done():
				c.Close()
			case <-stop:
			}
		}()
		io.Copy(io.Discard, c)
		close(stop)
		return c.Close()
	})
}
