package family

// All lists the families. Add yours at the end.
var All = []*Family{&shop, &bank, &builds, &devices, &lab, &clinic, &tenants, &lake}
