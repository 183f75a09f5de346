# ruff: noqa: SIM905
"""Pieces of words, as the tokenizer of the embedded model cuts them; training coins its unseen words from these.

A tokenizer has many pieces that whole words of its texts never use: "umber" is a step on the way to "number". A model
that has met a piece as part of known words only cannot copy it, and a word that holds one ("cucumber") goes wrong every
time. Coined words use all pieces about equally often. The list may lag behind a tokenizer that is trained anew.
Neighbours: `worksheets.coined`.
"""

from typing import Final

PIECES: Final = tuple(
    """
    ab abas abel abin able about above aby ac ace ach ack acket acon across act acted action actor ad add added
    adding addition adds ade adge adi adin adow ads ae af afer after ag again age agor ah ahren ai ail ailed ailor
    ails ain aint air ais aj ak ake akel akes al alace alad alan alc alcon alculate aled alf all allons alread
    already also alt alto am amb amboo ame amel amer amera amily ammer amon amond among amount amp an ana ance and
    anda ands ange angle anor another answer ant antern any anyone ap apel aper apkin app appear appears appy ar ara
    aras ard arden are area arg argest ari arid arn aro around arrive art ary as ase ask asks ass ast astle asun
    asure asy at ata ate ater ath atim atio ation ato ator ats atur aturday ature av ave avel average avg away awn
    ax ay ayers ays az azan azel ba back bag bags ban bas base bb bbit bbon be bea before begin being bel bell below
    ber between bi big biggest bin bir bl ble blue bn bo board boo book books bor born both bow box boxes br bri bro
    bs bt bu bum bus busy but by calc call can cannot cap car cards cc ccur cd ce ceed cent cept cepts cert ces cf
    ch chair chairs char charac chard check ches chess child chool chor ci cir ck cket cl cle clean clo cm cn co
    coat code col column com combin combined come comes common compo compute con contain convert cook cor cost costs
    count cr cross cs ct ctangle ctor cuit cut cy da data date dates daughter day days dd de dec den der des di dian
    did digit digits din dio dis discount distance div divid divide divided divides dividing divis division divisor
    divisors dle do doctor does done dr ds dt du duc duce duct dy ea each ear early ears east ec ection ed ednes
    ednesday ee eed eek eekday eep eg eggs egin ei eidi ek el eld ele ell elp elsi elsius em en enc ence ench encil
    end ends eng ength enguin ent ents equal equally er erc ercent ercise ere erest ern ers ert ervice es ess est et
    eter etermine etter ettle etwe etween eu euros every ew ex exceed except exercise exponent ext ey fa factor
    failed fall falls family far fe fee fer ff ffer fference fi fig figure find first fl fn fo for fore form formula
    forward fr fraction fri friend fro from front ft fter fto ftover fy ga gal gallons gap gar garden gcd ge gest
    get gether gets ght gi git give gives gl gle gn go goes gor gr gra greatest gro groups gs gt guitar gy had happy
    har harac has hat have hcf he heck hed heet height heit her hes hess hest hether highest hl hn ho hol holds home
    homework host hours how hr hs ht hy ia ian iano ible ic ice ich ick icket icn icnic icy id idd iddle ide idea
    idth ie iet if ig ighest ight il ild iling ill ils ily im imal ime imeters in ina inc inches ind inder ine ing
    inger inner ins int integ integer integers interest into io ion ip ir iraf iraffe irate irport irr irror irst is
    iscuit ise issor ist istance ister it ite item ith ition its itself itten ity iv ive iz ize izza je ji jl jn jr
    js jt ju jy ke kel ket key ki kil kin kind kl kle km kn know knows ko kr ks kt ky la lain lamp lan lanket
    largest last later lb lcm ld le lea lean learn lease least leave leaves led left leftover len length ler les
    less lest let letter letters lf li lic lie like limb list lit liters ll llar ln lo long looking lost love lowest
    lr ls lt lu ly ma made mag mainder make makes mal mallest man many map mar marble mb mber me mean measure med
    median member mer mes mess met metic metres mi middle mil min mine minus minutes mirror ml mn mo mod modul
    modulo mon mong more move ms muc much multip multiple multipli multiply my na nails name ne need ner nes net new
    ney ng nn no nor not nothing now ns nt ntain nterest number numbers ob occur occurs of off often og ograms oin
    oint ok oking oks ol old ole oll olls olute om ome ometers on once ond onday onds one onent ong onkey only onn
    ons onver onvert ool op opard ople or oran order ore ork orm ormula orn orse ort ory os ose ot otal ote other
    oti ou oud ould ount ountain our ours ouse out ove over overall ow ower owest owl own ows oz pac pack packs par
    part parts party pass past pay pe pel people per perature percent pet ph phant phin pie pieces pizza pkin pl
    plate ple please plit plus pn po port pose power pp pped pper pr price prime prince product pt pty pup pupils
    put pute py qe qi ql qn qo qr qs qt qu qual quest quotient qy ra race radio radle rag ragon rain rais raised
    raising rams ran ranch ransl ranslate ras ratio re rea read reads ream rease reased reate reatest red reduce
    reduced ree reed reen reet rem rema remain remains remove ren rence request requests res ress rest result ret
    reverse reversed ri ric rice rid riday ril rimal rimality rime rin rince rip rite ritten rive river rn ro roduct
    rolls rom ron rope ros ross rot routine row rown rows rr rt rtist run ry sand save say says sc scaled school
    scor sday se sec second seconds see seed self service ses sh shar share shared she shel shells si sing single
    sion site ski skipped sky sl smallest sn so sol solve some someone sor sort sorted sorting sp spel spell spelled
    spelling split spr spring squ sr ss ssil st stands start starting starts step ster student subtr subtract suc
    succeed sult sum summer sun sw swer table tain tak take taken taking tal tato te teach teacher ted tell tem ten
    tep ter ters text th than that the their them then ther there these they thing this thmetic three ti tic ticket
    till tim time timed times tion tip tle to today together ton tool top total tr trip try ts tt ttle tw twice two
    uate ub ubtr ubtract uby uc ucket ud udent ue ueen uesday uess uest uestion uf uff uffin ug ugh ughter uin uit
    uitar uj uk ul ula ulate uld ult ultip um umber uments umn umpkin un unces unch und unday unds unit units unt
    until uoti uotient up ups ur ure urn urple ursday urse us use useum ush usic ut ute utes utine uts utumn uty uz
    uzzle va val value values vari variable vas ve vel ven ver verage verse versed very vg vi vice vid vide vl vn vr
    vs vt vy wa wait wal walks want wants war ward wards was way we week weekday weekends wer were wh what when
    where whether which whole wise with without wl wn wo wor word work workdays works would wr write writes written
    ws wt wy xa xe xi xl xn xp xponent xr xs xt xu xy ye year years yes you ys yster za zan ze zi zl zle zn zr zs zt
    zy
    """.split()
)
