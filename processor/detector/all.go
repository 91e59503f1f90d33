package detector

// All lists the detectors in the order in which they judge a window. Silence and
// EntityBound come last: the engine calls them itself.
var All = []*Detector{
	&Rate, &FirstUse, &NewOrigin, &SecretSweep, &SecretDrip, &ObjectSweep, &ObjectDrip, &FanOut, &NewPeers,
	&KeyEnumeration, &ForeignWrite, &MassDestruction, &Refusals, &KeyProbing, &UnusableKey,
	&Silence, &EntityBound,
}
