package loop

import (
	"fmt"
	"syscall"
	"testing"

	"sluice/codec"
)

// drainEach is after how many deliveries the clients read, here and in the twin.
const drainEach = 64

// BenchmarkSendFlush is one frame to every stream of a loop: post, append pass
// and one write for each. Its twin below does nothing but the writes.
func BenchmarkSendFlush(b *testing.B) {
	for _, streams := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(streams), func(b *testing.B) {
			c := newCrowd(b, streams, SharedID)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				c.deliver()
				if n++; n%drainEach == 0 {
					c.drain()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*streams), "ns/delivery")
		})
	}
}

func BenchmarkSendFlushTwinWrite(b *testing.B) {
	for _, streams := range []int{1, 100, 1000} {
		b.Run(fmt.Sprint(streams), func(b *testing.B) {
			c := crowd{sink: make([]byte, 64<<10), frame: wholeOf(frameOf("a-cursor-of-15", fmt.Sprintf("%0140d", 1)), SharedID)}
			var near []int
			for range streams {
				fds := socketpair(b)
				near, c.far = append(near, fds[0]), append(c.far, fds[1])
			}
			b.Cleanup(func() {
				for i := range near {
					_, _ = syscall.Close(near[i]), syscall.Close(c.far[i])
				}
			})
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				for _, fd := range near {
					if _, err := syscall.Write(fd, c.frame); err != nil {
						b.Fatal(err)
					}
				}
				if n++; n%drainEach == 0 {
					c.drain()
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*streams), "ns/delivery")
		})
	}
}

// BenchmarkBurst is 32 frames to each of 100 streams in one turn, which leave
// with one writev each; its twin is the one above, which writes each by itself.
func BenchmarkBurst(b *testing.B) {
	const streams, burst = 100, 32
	c := newCrowd(b, streams, SharedID)
	one := c.task.slots
	for range burst - 1 {
		c.task.slots = append(c.task.slots, one...)
	}
	b.ReportAllocs()
	n := 0
	for b.Loop() {
		c.deliver()
		if n++; n%(drainEach/burst) == 0 {
			c.drain()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*streams*burst), "ns/delivery")
}

// BenchmarkCoded is ticks of 2 KB to every stream of a loop, one at a time and in bursts,
// without a coding, and with one in groups and without.
func BenchmarkCoded(b *testing.B) {
	const streams = 100
	for _, burst := range []int{1, 16} {
		for _, coding := range []codec.Coding{codec.CodingIdentity, codec.CodingGzip, codec.CodingZstd} {
			for _, mode := range []IDMode{SharedID, NoID} { // the latter is in no group
				b.Run(fmt.Sprintf("%d/%v/%d", burst, coding, mode), func(b *testing.B) {
					c := newCodedCrowd(b, streams, mode, coding, 50)
					one := c.task.slots
					for range burst - 1 {
						c.task.slots = append(c.task.slots, one...)
					}
					b.ReportAllocs()
					n, used := 0, int64(0)
					for b.Loop() {
						before := cpuTime()
						c.deliver()
						used += cpuTime() - before
						if n++; n*burst%16 == 0 { // so few find room in every socket
							c.drain()
						}
					}
					b.ReportMetric(float64(used)/float64(b.N*streams*burst), "cpu-ns/delivery")
				})
			}
		}
	}
}

// cpuTime is what the process has used of processors, in nanoseconds: on a machine with
// others it says more than a clock.
func cpuTime() int64 {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return u.Utime.Nano() + u.Stime.Nano()
}

// BenchmarkLoopWake is a post into an idle loop until its client has the bytes;
// the twin is the write alone.
func BenchmarkLoopWake(b *testing.B) {
	c := newCrowd(b, 1, NoID)
	b.ReportAllocs()
	for b.Loop() {
		c.deliver()
		if c.drain() != len(c.frame) {
			b.Fatal("expected the frame")
		}
	}
}

func BenchmarkLoopWakeTwinWrite(b *testing.B) {
	fds := socketpair(b)
	c := crowd{far: fds[1:], sink: make([]byte, 64<<10), frame: wholeOf(frameOf("", fmt.Sprintf("%0140d", 1)), NoID)}
	b.Cleanup(func() { _, _ = syscall.Close(fds[0]), syscall.Close(fds[1]) })
	b.ReportAllocs()
	for b.Loop() {
		if _, err := syscall.Write(fds[0], c.frame); err != nil {
			b.Fatal(err)
		}
		if c.drain() != len(c.frame) {
			b.Fatal("expected the frame")
		}
	}
}
