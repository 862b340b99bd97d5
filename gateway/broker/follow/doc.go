// Package follow watches over what a node delivers of an engine's channels: nothing is missed in
// silence. It knows no engine; those whose live messages can get lost, and that keep histories, stand on it.
//
// A [Follower] knows the subscribed channels and keeps for each the place of what it delivered
// last, with a sum of its bytes. The engine hands it what came live (Message), and says when the way by which it comes broke
// and works again (Lost, Back). After that, whenever offsets jump, and when a message was
// dropped on this side (DoubtChannel), the channel is compared with its history, which a [Source] reads:
//
//	live ─► Message ─► place ─ credit ─► Sink
//	                     ▲
//	    Source.Follow ─ comparison (Run)
//
// What is missing is delivered in order, while live messages wait (hold.go), or, where the
// history does not reach back, its subscribers are told (Sink.Lost). A history that went back
// (a failover that lost writes) gets another epoch, also where nobody is subscribed any
// more but clients that are away may come back (past.go). Reads for clients teach it where histories end
// (Learn), and a barrier compares those that are behind (TakeSuspects, Await).
//
// The way may have parts that break one by one, a slot of channels each: the time in which one brings all
// is a [Span].
package follow
