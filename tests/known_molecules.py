"""Standard InChIs of molecules that many tests draw and read."""

ASPIRIN = "InChI=1S/C9H8O4/c1-6(10)13-8-5-3-2-4-7(8)9(11)12/h2-5H,1H3,(H,11,12)"
CAFFEINE = "InChI=1S/C8H10N4O2/c1-10-4-9-6-5(10)7(13)12(3)8(14)11(6)2/h4H,1-3H3"
ETHANOL = "InChI=1S/C2H6O/c1-2-3/h3H,2H2,1H3"
