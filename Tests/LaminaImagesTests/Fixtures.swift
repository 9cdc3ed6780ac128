// Written by Tests/fixtures/images.py: do not edit.

import Lamina

/// Small pictures, and what Pillow makes of them.
enum Fixtures {
  struct JPEG {
    let name: String
    let width: Int
    let height: Int
    let data: String
    let pixels: String

    init(_ name: String, width: Int, height: Int, data: String, pixels: String) {
      self.name = name
      self.width = width
      self.height = height
      self.data = data
      self.pixels = pixels
    }
  }

  struct Resize {
    let source: (width: Int, height: Int)
    let target: (width: Int, height: Int)
    let interpolation: Preprocessing.Interpolation
    let pixels: String

    init(
      from source: (Int, Int), to target: (Int, Int), _ interpolation: Preprocessing.Interpolation,
      pixels: String
    ) {
      self.source = source
      self.target = target
      self.interpolation = interpolation
      self.pixels = pixels
    }
  }

  struct ResizeHash {
    let source: (width: Int, height: Int)
    let target: (width: Int, height: Int)
    let interpolation: Preprocessing.Interpolation
    let hash: UInt64

    init(
      from source: (Int, Int), to target: (Int, Int), _ interpolation: Preprocessing.Interpolation,
      _ hash: UInt64
    ) {
      self.source = source
      self.target = target
      self.interpolation = interpolation
      self.hash = hash
    }
  }

  /// Pictures, and the pixels that Pillow decodes.
  static let jpegs: [JPEG] = [
    JPEG(
      "baseline", width: 16, height: 12,
      data: """
        /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAYEBQYFBAYGBQYHBwYIChAKCgkJChQODwwQFxQYGBcUFhYaHSUfGhsjHBYW
        ICwgIyYnKSopGR8tMC0oMCUoKSj/2wBDAQcHBwoIChMKChMoGhYaKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo
        KCgoKCgoKCgoKCgoKCgoKCgoKCj/wAARCAAMABADASIAAhEBAxEB/8QAFgABAQEAAAAAAAAAAAAAAAAABgEH/8QAJRAA
        AQQBAwIHAAAAAAAAAAAAAQIDBBEFAAYSIUEHEyIxYXGR/8QAFAEBAAAAAAAAAAAAAAAAAAAABP/EAB4RAAAGAgMAAAAA
        AAAAAAAAAAABAgMGERIhMUGB/9oADAMBAAIRAxEAPwAZtfZzUvLQY8hKksvPobWU9CElQBr5rWu7t8PMDDxzb+KjmI8l
        YSEBS3A7fY8iaoAm/sdxUx2Pj9PRpbFjpkFPnrcdr25rKq/dFk8rfUvOz11evQOJyBwyTzY//9k=
        """,
      pixels: """
        BQDnFQXuFwDiNQrtOADWSQHRYArNZQa6dAmtiBKmjgaMnweAxhiHwgNq2wpv2wNkDRLqHhvyHQ7jLhHfOgzRUxfPVg+1
        XQuecRWUgBiHoyuNpht0pwdf0B503hxz7yR9CyzdESzdHCfXKifOPivFVzW9VCmViFOl/8H2/9H1/6W//8XgxEBnyjJl
        xxxg4jB6CETYBDjKGkDPLkTLQEW9TkSkXEaH1bbW+tHV88Cv/9W9/7al/6uuvz9W41GA2D13BlvYAU/LHlrSLlrHPVay
        SlOWXlp78eLl7ta88c+i/9Oj/8ef/7ik/8nLzlJs2VV6AGjRB2fNH2/OKGe3PWamV26YZ25+3trP5di29d6s/Nei/82b
        /86r/8Wvzmdi4nR1AXjKC3rJIH/DMHu0RXqiYICZcoCJ09TO3dK+8Nm58tCq+8yg/9iswHNF2IBS4YVWCpTDC464H5Cy
        OZiuSIyXU4ODbYuB1OHP3d3F5Nq38tuv+dag/9GOzpND451F45o7CKuoEaymI6ufNaqXTKaNX6SFc6J+gaF40OO13eWs
        5uGd4NF81rtS0Kwy2Koh4a4dBsCXEMGVIMCSMr6NSLqGXbh/b7Z6fbZyh7FnlbZfprtWtLtHv7szzb4l3cQf6csfBtiR
        DteRH9aTMNSPRdGKWc+Ba895ec9ujNRkltNUotNGsdQ8w9Uz0NYs3NYo4tcnB+WQEOWRIOOUMuGSRt2MWtyGatx6ed1r
        kOdlmuZSpuRFtOQ6x+U11ecz4eQx5eMw
        """),
    JPEG(
      "progressive", width: 16, height: 12,
      data: """
        /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAYEBQYFBAYGBQYHBwYIChAKCgkJChQODwwQFxQYGBcUFhYaHSUfGhsjHBYW
        ICwgIyYnKSopGR8tMC0oMCUoKSj/2wBDAQcHBwoIChMKChMoGhYaKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo
        KCgoKCgoKCgoKCgoKCgoKCgoKCj/wgARCAAMABADASIAAhEBAxEB/8QAFgABAQEAAAAAAAAAAAAAAAAABQEG/8QAFAEB
        AAAAAAAAAAAAAAAAAAAAA//aAAwDAQACEAMQAAABF18XIf/EABoQAAICAwAAAAAAAAAAAAAAAAIDAAQBBRL/2gAIAQEA
        AQUCq08E23r0Ataxgj1P/8QAFxEAAwEAAAAAAAAAAAAAAAAAAAIFIf/aAAgBAwEBPwGTQbD/xAAYEQACAwAAAAAAAAAA
        AAAAAAABBQACEf/aAAgBAgEBPwFm1uTs/8QAHRAAAgIBBQAAAAAAAAAAAAAAAQIAEQMQEiExkf/aAAgBAQAGPwJFbomo
        DiXafb05sz//xAAZEAADAQEBAAAAAAAAAAAAAAAAARFRcaH/2gAIAQEAAT8hQ40u0ykYm5K/QwCovo6f/9oADAMBAAIA
        AwAAABCj/8QAFxEBAAMAAAAAAAAAAAAAAAAAAQARMf/aAAgBAwEBPxBBq5//xAAZEQABBQAAAAAAAAAAAAAAAAAhAAER
        QYH/2gAIAQIBAT8QPbipGr//xAAcEAEBAAICAwAAAAAAAAAAAAABEQAhMUFhcZH/2gAIAQEAAT8QXAG6IgM8zHLEgivp
        pkBb7OyamUNN4vH3P//Z
        """,
      pixels: """
        BQDnFQXuFwDiNQrtOADWSQHRYArNZQa6dAmtiBKmjgaMnweAxhiHwgNq2wpv2wNkDRLqHhvyHQ7jLhHfOgzRUxfPVg+1
        XQuecRWUgBiHoyuNpht0pwdf0B503hxz7yR9CyzdESzdHCfXKifOPivFVzW9VCmViFOl/8H2/9H1/6W//8XgxEBnyjJl
        xxxg4jB6CETYBDjKGkDPLkTLQEW9TkSkXEaH1bbW+tHV88Cv/9W9/7al/6uuvz9W41GA2D13BlvYAU/LHlrSLlrHPVay
        SlOWXlp78eLl7ta88c+i/9Oj/8ef/7ik/8nLzlJs2VV6AGjRB2fNH2/OKGe3PWamV26YZ25+3trP5di29d6s/Nei/82b
        /86r/8Wvzmdi4nR1AXjKC3rJIH/DMHu0RXqiYICZcoCJ09TO3dK+8Nm58tCq+8yg/9iswHNF2IBS4YVWCpTDC464H5Cy
        OZiuSIyXU4ODbYuB1OHP3d3F5Nq38tuv+dag/9GOzpND451F45o7CKuoEaymI6ufNaqXTKaNX6SFc6J+gaF40OO13eWs
        5uGd4NF81rtS0Kwy2Koh4a4dBsCXEMGVIMCSMr6NSLqGXbh/b7Z6fbZyh7FnlbZfprtWtLtHv7szzb4l3cQf6csfBtiR
        DteRH9aTMNSPRdGKWc+Ba895ec9ujNRkltNUotNGsdQ8w9Uz0NYs3NYo4tcnB+WQEOWRIOOUMuGSRt2MWtyGatx6ed1r
        kOdlmuZSpuRFtOQ6x+U11ecz4eQx5eMw
        """),
    JPEG(
      "gray", width: 16, height: 12,
      data: """
        /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAYEBQYFBAYGBQYHBwYIChAKCgkJChQODwwQFxQYGBcUFhYaHSUfGhsjHBYW
        ICwgIyYnKSopGR8tMC0oMCUoKSj/wAALCAAMABABAREA/8QAFgABAQEAAAAAAAAAAAAAAAAABgEH/8QAJRAAAQQBAwIH
        AAAAAAAAAAAAAQIDBBEFAAYSIUEHEyIxYXGR/9oACAEBAAA/ABm19nNS8tBjyEqSy8+htZT0ISVAGvmta7u3w8wMPHNv
        4qOYjyVhIQFLcDt9jyJqgCb+x3FTHY+P09GlsWOmQU+etx2vbmsqr91//9k=
        """,
      pixels: """
        GRkZJCQkHR0dMTExJycnLi4uOjo6Nzc3PDw8RkZGPj4+QkJCWVlZSEhIVFRUT09PKSkpNDQ0KysrMTExMDAwPj4+Nzc3
        NDQ0Pz8/REREWlpaT09PQUFBXV1dYGBga2trNjY2ODg4ODg4Ozs7QkJCT09PQkJCbGxs2tra7Ozsw8PD6enpbGxsZWVl
        V1dXbm5uQ0NDOTk5RUVFTU1NUVFRUlJSVFRUw8PD3t7ezc3N5ubmzs7OzMzMaGhogoKCcnJyUFBQRkZGVlZWWVlZWVlZ
        WFhYX19f5+fn2tra1NTU3Nzc1tbW0NDQ6enpenp6gYGBVVVVVlZWYmJiXV1dYWFhbGxsbm5u2tra2NjY39/f3Nzc19fX
        4ODg3d3dhYWFlZWVXl5eYmJiampqa2trb29veXl5fX1909PT09PT3Nzc1tbW1dXV5ubmhYWFlZWVm5ubcHBwbGxscnJy
        fn5+eXl5dXV1gYGB29vb2tra2dnZ3d3d2tra2NjYnJycqKiopaWlenp6fX19gYGBhYWFiIiIjIyMkJCQk5OT2NjY3Nzc
        29vbzMzMt7e3qampqKiora2thISEh4eHi4uLj4+PkpKSlpaWmpqanZ2dnJycoqKiqamprKysra2tsbGxubm5wMDAkZGR
        k5OTmJiYm5ubn5+fo6Ojp6enqqqqsrKysrKytLS0uLi4vb29wcHBxMTExsbGmZmZnJycoKCgpKSkp6enq6urr6+vsrKy
        vr6+vr6+v7+/wsLCyMjIzc3Nz8/Pz8/P
        """),
    JPEG(
      "full", width: 16, height: 12,
      data: """
        /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAAYEBQYFBAYGBQYHBwYIChAKCgkJChQODwwQFxQYGBcUFhYaHSUfGhsjHBYW
        ICwgIyYnKSopGR8tMC0oMCUoKSj/2wBDAQcHBwoIChMKChMoGhYaKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgoKCgo
        KCgoKCgoKCgoKCgoKCgoKCgoKCj/wAARCAAMABADAREAAhEBAxEB/8QAFgABAQEAAAAAAAAAAAAAAAAABgEH/8QAJRAA
        AQQBAwIHAAAAAAAAAAAAAQIDBBEFAAYSIUEHEyIxYXGR/8QAFwEBAAMAAAAAAAAAAAAAAAAABwQFCP/EACERAAAGAgEF
        AAAAAAAAAAAAAAABAgMFEQQhsQYSMVGR/9oADAMBAAIRAxEAPwAZtfZzUvLQY8hKksvPobWU9CElQBr5rSHM9QKS2tST
        2RHQq4WT7lJTfka7u3w8wMPHNv4qOYjyVhIQFLcDt9jyJqgCb+x3FGLs9k0Zvqv4XASouSdadJKjsuBMdj4/T0ajyeY7
        vYzpEZDmthbFjpkFPnrcdr25rKq/dH0nmvewpRWW6qjUdj//2Q==
        """,
      pixels: """
        AADzDgX8FQD+NwnyPAC6UADKZQLmaALFewWxnQWvqwCYtgCSyBKjvACK3QSJ7QB6ABb3FB75GQ7xLRHfOhC6VBbRWgnK
        XguZdA20gBGroiaspRePpgRz0xp/5xlu/SFrAC31Cy7gGSjbKSjOPCzAVzHUWiGwj1KV/86v/+TB4rue/9XSu0Vo0ixu
        1BVj8Cp5AEPyAjnHHkDIMUTHPUXCTD7JYz2g47W3+9ui5c2R++av7can/7W3uUBh7U196zZrA1nuCE7AKVjCNVjAOla6
        SUy/aVCU/9+89tK49sqt/9Kx9s6r8Mep/9i+zllF81RBAGnaDma9K2y+LWWyNGmrT2y6cWaR99Wl99WV/9ea/9GX/dCX
        +d6p/9amy25F+29MAH7IDH21KHy4LX6tM4WbTIardX2S6dKc9sa6/8+++sux9cyu/9+7sHlS14FQ74BJAJrFDY+xJou3
        NpixMZmSPouTb4iM6t6k/86z9dSr8d6m8tqe/9CV1Y5M65lF65gyAau4EKuvIqujMquaP6uTUKuKY6p+cKt15dmx7tyu
        89qi582D07pey6xC1ag15Kk1AMCvDb+lH7+ZML+RPr6LTb+DYb53b75tjbBgm7JgrLdbtrlQvrlBzbs1474y9cAyANmk
        CtiaHtiPLNiGO9h/TNh3XthrbNhhgdxbjNdWnNRLrtRBvtY20tYq59Ej9s4eAOidCuiTHueHLeh/O+d5TOdvXudjbOdZ
        f/JViu5QnOlFrec6wOou1Ool5+Ya8+EV
        """),
    JPEG(
      "rgb", width: 16, height: 12,
      data: """
        /9j/7gAOQWRvYmUAZAAAAAAA/9sAQwAGBAUGBQQGBgUGBwcGCAoQCgoJCQoUDg8MEBcUGBgXFBYWGh0lHxobIxwWFiAs
        ICMmJykqKRkfLTAtKDAlKCko/8AAEQgADAAQA1IRAEcRAEIRAP/EABgAAAMBAQAAAAAAAAAAAAAAAAYHCAIF/8QAKRAA
        AgEDAgQGAwEAAAAAAAAAAQIDBAURABIGByExEyJBYYGRFUNTcf/aAAwDUgBHAEIAAD8AVnJijjuF9tNFMWWKpqYoXKHD
        AMwBxn166ArRyrhqbrRQVUTrTyzokhTAYKWAOMjvjTY4kvxkl2B+rHA+dWtFYLZaPAa3xGnw4ULuZg32Tjto+5icnOFY
        LMlRY6JqGqSQKEV3lWYH0O4naQASCPcHORhdceTx0dnareUpJvCqOpDk+nt0BPxqG+W36vjT2/AW/wDjrn8U1s/n82qz
        4CrqutaBq2qnqGXsZZC5H3rctmpJceKrvjtubONKTjG8V9SMVFVLKEztDuW2574z/g1//9k=
        """,
      pixels: """
        AwD/BwLzHwDwMAnoPQDVTQDQYwPOcgG+dAC1kAavnwCiuQCjvA+K0QCN2gB/9AJ5ABP5ChvrHhPnKRvgQBjPVB/JWhPF
        YhC3hhexlR+lmBuQrQSVtwyJ0Ch73BJ59RRuBSnuGCjhIyXaLCTURCLHUCa/VRW5hD6t99Ov/8ev+sOm8Oqm2CeR0SBt
        1zBv8iJtAEjlDzzZGkTQLkfJRUfASki3ak2v5sGo8NSl+9yq/uCw+sSw6NiZ2EN/3DNd9UtbAFTcEUnTGlTHLVHAPk65
        Qk2uZ1en/+Go/9uq/sOh+cal/tSs/9mp8dmt5E9b51JOAG3RG23MI3W/L2m2PmexS2ukXGWf8Mmp+9Gx8c2p8tms+Nis
        /8iq7sai6nNU825NAHbFDXrEGoC2MH+rQ4OmWYuYZoWW+9Cp+tKm+Niq/9Cu+cim9Nei0Xte2IQ+8HhACZu9D5S+GZKw
        NJijPJKeR4yQWY2Q/9qn+86n9dKs/tKp+dGn+Ni11JE/2pNB75g5AKm1EKmuH6mjLqmaQamST6mJXql/cKl39dCr/dSq
        /dOr6sen0rVJzKg/3ag48awxAL2tEL2mH72bLr2SQb2KT72BXr13cL1vgcBjk8JYqMRWtMFevL0zyro64rs09r4mANej
        ENebH9eRLteIQdeAT9d3XtdscNdleNJih9FPndBCr9I+vtUzzdcw39cl69UTAOecEOeUH+eJLueAQed5T+dvXudlcOdd
        h+1Xk+pOo+dGsugzwOo00Ooj4ucd7uUW
        """),
    JPEG(
      "restarts", width: 40, height: 24,
      data: """
        /9j/4AAQSkZJRgABAQAAAQABAAD/2wBDAA0JCgsKCA0LCgsODg0PEyAVExISEyccHhcgLikxMC4pLSwzOko+MzZGNywt
        QFdBRkxOUlNSMj5aYVpQYEpRUk//2wBDAQ4ODhMREyYVFSZPNS01T09PT09PT09PT09PT09PT09PT09PT09PT09PT09P
        T09PT09PT09PT09PT09PT09PT0//wAARCAAYACgDASIAAhEBAxEB/8QAHwAAAQUBAQEBAQEAAAAAAAAAAAECAwQFBgcI
        CQoL/8QAtRAAAgEDAwIEAwUFBAQAAAF9AQIDAAQRBRIhMUEGE1FhByJxFDKBkaEII0KxwRVS0fAkM2JyggkKFhcYGRol
        JicoKSo0NTY3ODk6Q0RFRkdISUpTVFVWV1hZWmNkZWZnaGlqc3R1dnd4eXqDhIWGh4iJipKTlJWWl5iZmqKjpKWmp6ip
        qrKztLW2t7i5usLDxMXGx8jJytLT1NXW19jZ2uHi4+Tl5ufo6erx8vP09fb3+Pn6/8QAHwEAAwEBAQEBAQEBAQAAAAAA
        AAECAwQFBgcICQoL/8QAtREAAgECBAQDBAcFBAQAAQJ3AAECAxEEBSExBhJBUQdhcRMiMoEIFEKRobHBCSMzUvAVYnLR
        ChYkNOEl8RcYGRomJygpKjU2Nzg5OkNERUZHSElKU1RVVldYWVpjZGVmZ2hpanN0dXZ3eHl6goOEhYaHiImKkpOUlZaX
        mJmaoqOkpaanqKmqsrO0tba3uLm6wsPExcbHyMnK0tPU1dbX2Nna4uPk5ebn6Onq8vP09fb3+Pn6/90ABAAB/9oADAMB
        AAIRAxEAPwDkktfap0tPatVLT2qdLT2r6TEY7zODDYs//9BmheFhfQi5upDHCSQqpjc3UZz25/rVvU/CkdtA09lKzKgy
        ySYzjuQePy//AFV0WkTLLp8SjAaJQjLnpjgfnVm4mWCFpG7Dgep9Kmtjqzm23oejSryVpRZ//9HOS19qK3UtPaivPqY7
        Xc+tp4v3T//Stpae1WEtPaiiscRWmfI4apI//9PchgeM5RmU9Mg4qfyXkx5jM2Om45oor53EVp9zhw1WXc//1OoS09qK
        KK+FqVp3O2nUlyn/2Q==
        """,
      pixels: """
        AgT3BAX2BgX2Cwf0EwfxGQjtIAfnJgfhLQTcNATWOgPSQQTMRwPKTATHTwbHVgPHawfXUgC0ewrMZACmgwy0YwCIkBir
        jRejggeViAiTmwyaqAmXoQB7ugCA4g6WzwB5zgJ7zQR20wR22ARz4ARw5wRt7ARq8ARoBQv3CAv2Cgz1Dw30FQzvHA3s
        Iw7nKQzgMQvcNwrWPgrRRAvMSwrIUAvGUgzGWQrHaAvOcgvMdgq/jB/GiRiwiRikgxSWYgBwkyOfcQB1mBOSsh2dwBqY
        zRSTvQBxzgF4zwl40At11Qp13Atz4wtw6wts8Apq9AtnCBTyCxXxDRbxEhfvGhfsIBjpJhfiLRfcNRXYOxTRQhTMRxTI
        TxTEVBbDVhbCXRXBWAazeSDGbRCpchSeYgB5cA96oEChjzCMhCV/q0aighNyjA5xpRR5sQ903y+UzRN20RV01BVy2hVx
        4BVv5RVr7RVo8xRl9xRjCh/sDR/rDyDqFCHpGiDmISHhJyHbLiDXNyDSPR/MRB/FSiDCUR/AViC8WCG7XyC3ayW5cCOt
        diafZRR7lUGXjj2C/7Pu+67i/7ru/7nx/7LvsEqLnSVsty93lQBJwR9qzyBt1R9q2h5q4R9o5x9n7h9j9R9f+R9cCink
        CynjDirjEivfGivdICzaKCrULyrPNirKPSrEQym+Siq7USq3Viy2Wiu1XyytcTitVBV9biyDl1SX9bLe5qTA/+X0/8jR
        +8PM/9jk6ai8/8jj/7DTrkVtuEBtz0d3yyxk1Slj2ihi4Clf6Cld7ihZ9ClW9yhUCTPfCjTeDjXbEzbaGTbYHzbUJzbP
        LTXINzXGPDW/RTW6SjW2UDazVjaxWjawXzilZDWRXChyjleO46vO/87Z/9HM9say8cOp/+PK6sGr/9rN/8/M/8jQ9KSx
        nD9SpjZPyThf1DNd2TRe3jRZ5zNY7TRU9DNQ9jRPCT/dCUDbDkHaE0DXGUHWH0LSJkHMLUHGN0HEPEK+REC4SkG0UkGz
        VkOvWkOvYUShcUySgVWG4bPQ/9fg/86//9a17sSU/+ix5MOO/t+w68mk8ceu/9PC/93W/8jGul1nxkRc1D9c2D9b3kBZ
        5z9W7D9S9D9Q9T9MBkjaB0rZC0rXEUrVF0vTHEvPJEvKK0vEM0zCOky8Qkq1SEuyUEuxVEyvWE2tYE2fcFKIcUlr/9Pi
        5rex/9i6/9Oh88qK/tmT+tuY8NSV/uKw9dSr78Om/9C75KmZr15aw09a0Uha1klZ20lW5EhT6klP8UhN80lKBVPbBlTa
        ClTXD1bWFVbUG1XQI1bLKVTEMFXAN1S6P1O0RVSxS1SvUFauVFarXVaccFWC7Mbd/9Tb+82+/9Kt/syX/9uY+dGJ9tSN
        +NuZ99mj89Kl+dGt/9W4/8+3/7+yxFpc0lVd1lVa3FZX5VVV6lVR8lVQ81VMA13YBF7YCF7XDGDUE2DSGGDOIWDJJ17C
        Ll++NV64PV2yQ16vSV6tTmCsUmCpXV+adGCD8tLh9s7O676r/9ax/8yX/syN/9aS/9iV+deY99ah+Nao+dKr+s6r/82u
        /8y1xGNa0F9b1F9Y2mBV419T6F9P8F9O8V5KA2nXBGrWCGrVDGzTEmvPGGzMIGvGJ2vALmu8NWq2PWmwQ2qtSWurTWup
        UmynXWuae3OL8Nbf89LN6L+t/9y4/9Ch/MeR/92k/9if/dSg+dOk/NWq/NKq+cyl/8yn/8+vxW9Y0GtZ1GtW2mxV42tT
        6GtP8GtM8WtIAnXSBHXRB3bQDXfPE3fMGHfHIHjCJna7L3a2NXWyPHWsQ3WoSnanTnejUnejXXWXdnmIxbm57dfM9dXA
        /9Kx/8yk/8+g/9Wl/9Gj/9ap/dOr+c+n/dKo/9et/86h+byQx3lTz3dT1HZS2ndQ4nZP6XZK73ZH8nZDAX/LBIDKB4DJ
        DIHGEoLEGoLBIYG7J4G1L4GwNoGrPn+lRIGgSYCeToGcUoGbW4CQZ3l7iImB3NPC/+nR5sOj9Mij/9ey98Oc+cml/9m0
        /9az8sig/dKn/+Sx+8yU1J1kyYRNzoFL1IFL2oFH4YFF6YFC7oE+8oE9BIvFBYrDCovEDovBFoy+HIy6Ioy0KYuuMYyr
        N4ulP4qfRoubTIyYUYuWVI2WW4uNa4l/aXpnxsqz9+zQ48iq/NW0/969+Men9cao/9e4/9e08cqh+tKh/9+k7L98vIpD
        yo5I0IxF1oxF24tC44w/64w88Is59Iw3B5TBCpXADpbAEpa9Gpa6IJe1J5axLZarNZanPJahQpWbSpWYT5WTVZaSWJaR
        XpaJdJ6IbYpuorGSycip69i4/+XG9s+y/9a7+s61+tG1+tOy+dSq9tGc6sSD0qhcvY480JhF1JZB2pZB4JY/55Y775Y4
        9JY2+JYzB569CZ68DZ65EqC4GaC0H6GxJqCrLaCnNKCiOp+bQp+XSZ+STp+QVZ+OV6CMX5+HcaSFb5d0d5JvjZt34+C9
        +OvIzbaU+968+ty67M6o8dKm/uCs8tOTzqxkvJdGxJ1Cz6FB1KA92qA836A556A47aA09KAw96AtBai5Bqi3Cam1Daqz
        FaqwG6usIqqmKKqiM6ufOaqYQKqURqqOTKuNUquLVayJXqqGa6V/e6mEgaqCiKl+nrWJv8+g2OCv4uKu4Nuj6uCj7N2c
        3syEybJmu6BPvJ5Iw6VFy6o/zqo41Ks32ao04aoz6Kov76or8aspA7C0BLKzCLKyDbOxE7SuGrSoIbSkKLOeMrScOLOW
        P7OQRbOMS7SJULaHVLaHXLSCa69+ebGAerB8eKtzgax0kbh5nLt4oLdvoa9irrVlu7tlvLdcua5Su6tLw7FPzrlQyrQ9
        zbQ107Q12bQy4LQv5rQt7bQp8bQmBru0B7yzC7yyEb2xF76tHb+qJL6mKr2gNL6cO76WQr2RSb2MT76JVL+HWL+HX7+C
        ZbZ0cbp1drx0d7lvf7lsh7xqjLlkjLNYk7NSnLVQp7hOsLpKtblIu7pGwb5JysJGy7470L421b40274y474v674t8b0p
        9L4oBsaxCcawDcewEceuGcirH8inJsijLMedNsiZPceTRMiPSsiJUciIVsmEWMqEX8l+Y8JubMZsdstwfc5vhNBsi9Jq
        ktBllsxcpNReqNBWrc1OscxHt8tFustBvMg+vsU3zMo50sgz2Mky3cgv5cgs7Mgq8sgm9cglCNCsCtCsDdGrEtKpGdKm
        HtKiJtOeLNGXN9OUPdKORNKKStOFUtODVdN/WdV/XdR2attxbNlmcNdkddhjetheftdXhdVSjdVNl9hKmtRCoNI7qdU6
        s9g7udw6vNs4wNYzzNQx0tMv19Is3tMr5dMn7NIl8tMh9dIgCNqpC9upDdymE9ylGt2jH92dJt2aLNyTN96QPt2JRNyF
        TN2CUt5+Vt58W996Xd9zauZsaeBea95bceFZd+JYe95PhOBNkOVMj9w+lNs3ndo0pd0ysOIztuUzu+Y0weQwzN8t094q
        2N0o3t4m5t4k7d4h9N0f9t4cCuaoDOenEOekFeijG+mfIuibKeiYL+eROumOQOiIR+eDTel+U+l9V+l6XOt5YOpxaexo
        Z+ZZbOdZePBdgPBdg+5TjPBSmvZTmO5Fn+0/qO08re03sOsxtOsuuOsuweoszesr1eko2+gm4ekk6Okh7ukc9ekb+OgZ
        DO2nDu6nEu6mF/CiHu6gJPCbK/CYMe6QPPCNQ/CHSe+DT/CAVu97W/B6XvJ6YvFxcPdtb/BfcfFefvlig/degO5PhOpI
        j+9Hl+9BoPE9qfM8rfI3se4vtO0su/Auw/Es0fEs2PAo3e8n4/Ak6/Ai8e8e9/Ab+u8Z
        """),
    JPEG(
      "cmyk", width: 8, height: 6,
      data: """
        /9j/7gAOQWRvYmUAZAAAAAAA/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUKBwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAW
        EBETFBUVFQwPFxgWFBgSFBUU/8AAFAgABgAIBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAYCCP/EACQQ
        AAIBBAEDBQEAAAAAAAAAAAECBAMFERIABhQhBwgJEyIk/9oADgRDAE0AWQBLAAA/AK+Uaw3y5dYWy4W66dja4Pdd/G+x
        v6Nwmg0A1bGrjLEa7ZGTwL1X8gPqBfeqel7rAvt2tFC01aryYlCufqmo4QFKlPbV/CsAWBK7llwRwt7cPbp3E2xGDKix
        o1OqHll1LM6DH5UYx58jJIxnIyRjmrUlT612izJFC1zIs6c8J5VaKBJzSYms2FxlWdW/Jchhrtk5PP/Z
        """,
      pixels: """
        /f0Ama8NkL0cZJ8fQIImScVGM8lSF6pX27MP0cUgo7cribQ+DCZTASdGK4tWHceDw4McjnUkmH84aXE+AClEBy5OBiZI
        HJeSkUkexmpAc0w4aVdICRc4BBs3ARo0FmGI2UY7uU5NbC48ZTZQAiAyABUtLDx7IlDHyiVLghc8myNqjyV+aiSIPRhy
        MiKUFyax
        """),
    JPEG(
      "ycck", width: 8, height: 6,
      data: """
        /9j/7gAOQWRvYmUAZAAAAAAC/9sAQwADAgIDAgIDAwMDBAMDBAUIBQUEBAUKBwcGCAwKDAwLCgsLDQ4SEA0OEQ4LCxAW
        EBETFBUVFQwPFxgWFBgSFBUU/8AAFAgABgAIBEMRAE0RAFkRAEsRAP/EABYAAQEBAAAAAAAAAAAAAAAAAAYCCP/EACQQ
        AAIBBAEDBQEAAAAAAAAAAAECBAMFERIABhQhBwgJEyIk/9oADgRDAE0AWQBLAAA/AK+Uaw3y5dYWy4W66dja4Pdd/G+x
        v6Nwmg0A1bGrjLEa7ZGTwL1X8gPqBfeqel7rAvt2tFC01aryYlCufqmo4QFKlPbV/CsAWBK7llwRwt7cPbp3E2xGDKix
        o1OqHll1LM6DH5UYx58jJIxnIyRjmrUlT612izJFC1zIs6c8J5VaKBJzSYms2FxlWdW/Jchhrtk5PP/Z
        """,
      pixels: """
        sgAAgAAAjh4AfzMAaEUAp4oAsasAlKwBhAAAkgAAkiEAjUYA/7T/1qTWeZEbv+1DYwAAXgMAaxgAYTkQzp/O6q3q2qHa
        mOKEPQAAVgAbRBcoUjg7qXaponiip3unbr2jSQBJQwBMNRNSPjJslnOWjGmMTJGrcfr6LAB5IgBnNR6ySkTjN2XPJmSY
        Sp/DVtLS
        """),
    JPEG(
      "cmykWithoutAdobe", width: 8, height: 6,
      data: """
        /9j/2wBDAAMCAgMCAgMDAwMEAwMEBQgFBQQEBQoHBwYIDAoMDAsKCwsNDhIQDQ4RDgsLEBYQERMUFRUVDA8XGBYUGBIU
        FRT/wAAUCAAGAAgEQxEATREAWREASxEA/8QAFgABAQEAAAAAAAAAAAAAAAAABgII/8QAJBAAAgEEAQMFAQAAAAAAAAAA
        AQIEAwUREgAGFCEHCAkTIiT/2gAOBEMATQBZAEsAAD8Ar5RrDfLl1hbLhbrp2Nrg9138b7G/o3CaDQDVsauMsRrtkZPA
        vVfyA+oF96p6XusC+3a0ULTVqvJiUK5+qajhAUqU9tX8KwBYEruWXBHC3tw9uncTbEYMqLGjU6oeWXUszoMflRjHnyMk
        jGcjJGOatSVPrXaLMkULXMizpzwnlVooEnNJiazYXGVZ1b8lyGGu2Tk8/9k=
        """,
      pixels: """
        /f0Ama8NkL0cZJ8fQIImScVGM8lSF6pX27MP0cUgo7cribQ+DCZTASdGK4tWHceDw4McjnUkmH84aXE+AClEBy5OBiZI
        HJeSkUkexmpAc0w4aVdICRc4BBs3ARo0FmGI2UY7uU5NbC48ZTZQAiAyABUtLDx7IlDHyiVLghc8myNqjyV+aiSIPRhy
        MiKUFyax
        """),
  ]

  /// `noise(width:height:)` resized.
  static let resizes: [Resize] = [
    Resize(
      from: (31, 23), to: (12, 9), .bilinear,
      pixels: """
        c39ws0acl42VYHeOZpqpgKacbpyHeJeGY4J0fFyCcm19i6VFfF9+m1h6jXGMdIqBg4iLi3udf26NrZp3fpOIfXx5daV/
        ol58iG2FgYmUiYeke51dlZJ+jm2Pk3yGp418lIp4inKAln5pvW9aZ32DXY6PcWZ2dYiCi5aUj4d/nnqRepGRk3B7dGCM
        gG1rbX5fbmmUgnF7ZmF1bWeAk3mSdGx6bXxnVZ1sY3dze5Beh4lkbomSlHqQdXGAgmlfeG+NdXuAgWGCb4SIdKeCg6SM
        fG2CjYZ0aoR3e3+YgYOehn2OiZKVgplub2+BhIF4p3l/i4V4WoB8eYVve4SGYl53gmGFkn6DkH1VnZJjc4WObGJ1gn6N
        a39wTZh4bIVem5ZqjHxfkod3h2GFjX1+kXZ4nYqUcHuGh5Gbh3B3TYWccW1xhoSJ
        """),
    Resize(
      from: (31, 23), to: (12, 9), .bicubic,
      pixels: """
        bINqvD2hl5eZW3KOYputgq2dbJ6GeJeJYIVyeFSAcmeFjLA9e1qColRyjW6LcoqCiImKi3iffGeNuZ9yfpOLfXl2cLGA
        pVN+jG2CfI6YjoqweKVQl5J+jGqQk4CDq4uAlo50iXCGmn9kyHBYZ4CBVZOScGFvdIiFipqZkIp6p3uWcZOSlWt7blmU
        fGloaYBdaWOZjW13Y1t0amR9nHuTcGB8bXdkUKdlYHRxhJJVjYtfao6XmnyRcXN/gmRXd22UcH19hVqBa4qOcquAg6uU
        fWODj4h2aYJyfYOXg4ikhX6Mi5ichZ9ta2mAhYZ3snV6jYR4U4R6d4VxeoONW1p3gF2GkoKDkHxNo5VhbImTalxxhn6R
        aXttSJ95Z4NZopllkIBbkYt0ilaLjH2AjnV5qY+XanmHhJWjj2x0Q4iec2dtiYKP
        """),
    Resize(
      from: (31, 23), to: (12, 9), .lanczos,
      pixels: """
        aIVnvTuklJ+YWXOOYJmzgbObcJuGdJiQYIpwcU58b2aKjbY7eVeJq1RsjWqFb4aHjoiIjHSgemOMuqNrf5OKgXZ1bbh/
        plGAjm99eZKckYm6eKpIl5J7iWuTloSCroiFlZFzi22OmoBjznBTZ4ODUJGUbWNrd4mGgZyclotyrXqcaJSOl2h3Z1eb
        dmFhaYZdZ2KYlWxyYVZ2aGJ8o32Ta1aBbHVfUa9fW3ByjZNVk5ReZY2ZnXuQb3eBhV9WdXKYcX15iFd+aZCWcayGhK6W
        fWGBjoZ3boJxfoabhYuog3qGiJmhgqFsbGR6f4d5uHRykH96S4R6doNyfYCQWlpzel2Ek4aHk4BJppZiaYiXbV5sin6T
        Z3puSaZ6Y4VZo5pjlINbjo5xjUmRjX9+i3d4tI6ZZXmFf5iplGpzPoqfdGhpjYGQ
        """),
    Resize(
      from: (31, 23), to: (12, 9), .box,
      pixels: """
        bnNu2SOkjZSoU2uOZpShgbaXaJSZgZN+X452eVl1dU2fj65Bg1SBiVtgk2uWfY9YgpyHbWuXh12SxaBzcIescnmAfNF/
        mUd/i3l+U3GflZKtgbBLm5WLkH16eXuHmoyOnH1lhn6DoGtbvYFhbYt2Rb+jf1JdPo2kpp2gmniarJGZeYKeqYCUeD2f
        eZOMYYBValqhh3Rzalhvb1aEnn+Jalp1dHNrWKhqeXxshodGdm9vdZ2JnYmUS2WLZmxRlDimTo2BfVt5cpOVeaFjZ6mz
        cVedp7N6ZHFehIuIhGi7jn6Llah/k6d4d22LgYp7qHV1i5V/YJdviZZ2cYCbZkeCp0qnf4tnd2k+mIJMSoWMTiZcgH2D
        cWpdTI50dnxOso1PiItagoN3lV2PknaKjXt9p52aWG2Uh5SlmHhePY6ShlxygXmR
        """),
    Resize(
      from: (31, 23), to: (12, 9), .nearest,
      pixels: """
        Rse74WTG52Y0WhuCVu7nxadzWvFiIZqTk1yi3z/qxTgDrbkeSK5WXg51eFa0eJIzapfQ3Er+pUnT4Wt+pZ17Ca5OjMun
        1AvzlgJQ/acXo3Tckt4n3Mtr1AXGnqzqvJlm352oo6AkuYRkzRcjOE6FGePwmkN6AZuXvqLhosw5kVy3/EbOeEarAkrC
        O4oiDyswnXq2Y/wKDI50Kj/xUkfTEJQrN29BNROaD0Z9A+1AfHtj9Djaey/4QBg1p2kcjCJ4kyev6VWAc46mZOKrsJv/
        EVqy5YIBFyb9dWXr+438Y0PDO86fHqEAAnBWpG2fvAr+3DmAPy2W1UcYsjvFIgQv52rP3n/lFs4D0F5BrTVuqz5iMzjP
        TqPRE9Nc8HNStoNNZS1djfHABIUijY4xtyk8LS5l3+pH/uWW/xVzo8X3zswWSMAF
        """),
    Resize(
      from: (7, 5), to: (13, 11), .bilinear,
      pixels: """
        BQSLNUppisUtlMVMgZOOoFCqyAq+4Q647Ri4p0Xcc3v2a8f7Z/P+IxeJRVBwgbVDhK9hcX6bjUSqsgixxhq5zi/BjlnO
        YYrZYs3jY/PpbUaDbGCAaox5XHeVSki8XiWrewSQgje6gmjXUIuqM7CRTNuoWvS1qXGCinOQVnenPVi7MCzLQRqpWA59
        UlG4SY7fKaySHMljQOR/VPOQqo2QhpidSayzQZiqUHSUamGYh1GfclioX2SuX4mkXq+eXdikXPCnqqifgr2qPeK+RtmZ
        b71dk6eHtpPCkWCYdTp8lWa2oJXaeszIZOy+bat/X7uVR9a8R7SeU3tliomAyaSojXSmYU2olmTFtH/ZmKfTh77QMK5f
        PLiAUcm5SY+kNzhtgWx427aOioe0TmDUmGHVx2nXtYLeqpDhUcVcYchqe82CcZxyWlZRiIZVxMhgfqadSYTNgGS0q1Sq
        umzIwnraiuBgl9xUrtQ+pLQzjYsrlK0rotsscMd8SKu6YmiGhD9yuVqr2GrMoetireRLwtcjuL4aoaAcmb0alOMXatRv
        SLuyVml0dDZbuVOf4WTG
        """),
    Resize(
      from: (7, 5), to: (13, 11), .bicubic,
      pixels: """
        AACWJDtpl9sWp+sxhqCKo1Kz0wvF/gC1/wqwtTLkdXL/a9D/Z///Fg2QOkRvisQykMpQcoOcjD+xtwe02gq43Ci/k07R
        XYbiYdXsZP7wcUGCblh8botzWXeXQTvKUw+vcwCKhzDBgXHlQZKlIbV/R+OhXfu1uHN8lnWMUnSrMFHHKCDWOQenUAl4
        UU/AQpjtGLaKDc9NPep2WPiOx4+RmJyiPa++L56zT3mUa2CVf0+gbVKoWGWqVoudV7iVVuabVv2ftaKciLusNOjGOOGa
        b71Wm6qDtpPCkFeWcjR3mFy4ppbhd9XJXvW7bKd7W76aO+XQOMGpTnxblo5706u0km6nXzyfpVXRy3/umq/dfsfSI6pT
        M7p9UdLJQYyyKSZshV9w4LaRio66RFvbmlrd1mjcuYTip5HkQsVTWMtmgdKIcZR4T0JQi3lJx8tcfLSlP4bae1y3tEyl
        xGfMynfhjOVknOFUuNg1rbMokIommK0cnt4la9mBQ7TBVF59fjJiwlar5WzUqvNqt+tL0NoRx78Gq6cVncMJjecMZOly
        RMi4Q19laCdFwk6d8mbP
        """),
    Resize(
      from: (7, 5), to: (13, 11), .nearest,
      pixels: """
        BQSLBQSLougcougcfoyYfoyYyAq+9xKz9xKzdWX1dWX1Z/P+Z/P+BQSLBQSLougcougcfoyYfoyYyAq+9xKz9xKzdWX1
        dWX1Z/P+Z/P+qWx/qWx/SWysSWysJxbaJxbaTwF2SpL2SpL2A8dNA8dNUvSLUvSLqWx/qWx/SWysSWysJxbaJxbaTwF2
        SpL2SpL2A8dNA8dNUvSLUvSLqqifqqifKe3EKe3EdblUdblUtpPCcTR0cTR0q4Xfq4XfZOy+ZOy+qqifqqifKe3EKe3E
        dblUdblUtpPCcTR0cTR0q4Xfq4XfZOy+ZOy+qqifqqifKe3EKe3EdblUdblUtpPCcTR0cTR0q4Xfq4XfZOy+ZOy+JK9Z
        JK9ZW8vLW8vLLR5nLR5n37mJP2TeP2Te0F/V0F/VsYflsYflJK9ZJK9ZW8vLW8vLLR5nLR5n37mJP2TeP2Te0F/V0F/V
        sYflsYfloetioetiyNMYyNMYnpwcnpwclOMXRse7Rse7YC5IYC5I4WTG4WTGoetioetiyNMYyNMYnpwcnpwclOMXRse7
        Rse7YC5IYC5I4WTG4WTG
        """),
    Resize(
      from: (19, 11), to: (8, 11), .bilinear,
      pixels: """
        ZIJguzyujofbX2SwPkSsRsqKZcydjnyPb7u0TpqTinWqrJC+rsgvcbBaq0+c1mZUUpl4iryBYJ/Bg553Rb9ybot7akJW
        hzuaaE4kcJYvdEdmqzyVg4qddoWSa3bFoYaomp6Gf2OUhp9ieJ5ZfltbWluwgKByW3FgiUJjiZJfO7pxh5GNjIuKnCuy
        g4LCta+ceZ6kOJliTrlciF6mhTKTt2OQyB94oD/KbndUbrh2YI+FqXNWwoNIbW2drmeQj86hpzFYoUugcoWKiGyoioFw
        eW11wFCThnaZYHdkrKeWtqtdvn+a0cVwxI9hrT2qwaFQn7LTYHOFm88qlX6LrzmqsniKw5NataGd
        """),
    Resize(
      from: (19, 11), to: (19, 4), .bicubic,
      pixels: """
        aWvCZNFRToB2qJydb1qZi5CrY4fwvHSkgnWucp2Dbohqd65mQcFLa8eSgWCFbYmhl0Jsz3maiVhkioideHgfbkuIg8FK
        eHOAaaJZZXt6aJGCsmGHkpJYfp6iaGlCWkPZhnKNnYKlKJe600hHjV2rX7OQs49ncFuKU15YcbNzcZmIbKN3MsSDTXM3
        zlm1o32ipmheemo9rDzKVXiR5UmSuj6Ojl+Vo5askpu1QlauvKdOik6ZjWyugcGWvpcfgrR7lqNkyDm5fKGi2FVrvbN2
        kq95iUxq7WKBwVuuhVVWwLOoqKxi
        """),
    Resize(
      from: (1, 1), to: (3, 2), .bicubic,
      pixels: """
        BQSLBQSLBQSLBQSLBQSLBQSL
        """),
  ]

  /// The FNV-1a hash of `noise(width:height:)` resized.
  static let resizeHashes: [ResizeHash] = [
    ResizeHash(from: (500, 375), to: (341, 256), .nearest, 0xEDDFB707A40FF280),
    ResizeHash(from: (500, 375), to: (341, 256), .lanczos, 0xBC6CC40F4F8ABAEF),
    ResizeHash(from: (500, 375), to: (341, 256), .bilinear, 0x05AEF08E2A6ABAE0),
    ResizeHash(from: (500, 375), to: (341, 256), .bicubic, 0x38ED4AF65959D887),
    ResizeHash(from: (500, 375), to: (341, 256), .box, 0x09E8BE231563A096),
    ResizeHash(from: (375, 500), to: (224, 224), .nearest, 0x6C3CE27254100975),
    ResizeHash(from: (375, 500), to: (224, 224), .lanczos, 0x96E42C19EFEFD228),
    ResizeHash(from: (375, 500), to: (224, 224), .bilinear, 0xEF118FA18AA2E56E),
    ResizeHash(from: (375, 500), to: (224, 224), .bicubic, 0xC587F5C8BC349E2D),
    ResizeHash(from: (375, 500), to: (224, 224), .box, 0xC6FF7DD0259A53B1),
    ResizeHash(from: (64, 48), to: (224, 171), .nearest, 0xF938A2588095972E),
    ResizeHash(from: (64, 48), to: (224, 171), .lanczos, 0x282B9BBFE766C98E),
    ResizeHash(from: (64, 48), to: (224, 171), .bilinear, 0x5CA53E165D1C259B),
    ResizeHash(from: (64, 48), to: (224, 171), .bicubic, 0x9727C7376A92CD3A),
    ResizeHash(from: (64, 48), to: (224, 171), .box, 0x41D57A59AEAB20F8),
    ResizeHash(from: (200, 3), to: (50, 40), .nearest, 0xF5363746DFF2E248),
    ResizeHash(from: (200, 3), to: (50, 40), .lanczos, 0x73FF933D2260E45A),
    ResizeHash(from: (200, 3), to: (50, 40), .bilinear, 0xFED9CD2E7FC906F5),
    ResizeHash(from: (200, 3), to: (50, 40), .bicubic, 0x1C6EE9AAB49669EE),
    ResizeHash(from: (200, 3), to: (50, 40), .box, 0xC623A7719A344BB6),
    ResizeHash(from: (3, 200), to: (40, 190), .nearest, 0x52C5BD951072D0C1),
    ResizeHash(from: (3, 200), to: (40, 190), .lanczos, 0x216C62426B50E203),
    ResizeHash(from: (3, 200), to: (40, 190), .bilinear, 0x77A15D8A32479FBA),
    ResizeHash(from: (3, 200), to: (40, 190), .bicubic, 0x9290AEC862CED3C6),
    ResizeHash(from: (3, 200), to: (40, 190), .box, 0x4C4D0396C01C4B98),
    ResizeHash(from: (129, 257), to: (128, 256), .nearest, 0x53B27BAD4D82FAAB),
    ResizeHash(from: (129, 257), to: (128, 256), .lanczos, 0xE2464E33D4F1E9E7),
    ResizeHash(from: (129, 257), to: (128, 256), .bilinear, 0x6D86684C413E3C5E),
    ResizeHash(from: (129, 257), to: (128, 256), .bicubic, 0x59F745F8C22A03A3),
    ResizeHash(from: (129, 257), to: (128, 256), .box, 0x956418FEBFAE4ED5),
  ]

  /// Red of the picture 0 1 2 / 3 4 5, turned upright for orientation 1 … 8: width, then rows.
  static let orientations: [(width: Int, reds: [UInt8])] = [
    (3, [0, 1, 2, 3, 4, 5]),
    (3, [2, 1, 0, 5, 4, 3]),
    (3, [5, 4, 3, 2, 1, 0]),
    (3, [3, 4, 5, 0, 1, 2]),
    (2, [0, 3, 1, 4, 2, 5]),
    (2, [3, 0, 4, 1, 5, 2]),
    (2, [5, 2, 4, 1, 3, 0]),
    (2, [2, 5, 1, 4, 0, 3]),
  ]

  /// Photos of the shared data, resized and cropped for `Preprocessing.imagenet`: the pixels where
  /// `x` and `y` are multiples of 37, row by row.
  static let photos: [(name: String, width: Int, height: Int, pixels: String)] = [
    (
      "n01491361_tiger_shark.JPEG", 460, 288,
      """
      UmyHUmyHRWB+RmOBSWSCV3KPO1h4Ql99Q158Ql17WXSSQFh0OVZ2OVh3P1h4SlZoPT1EQEBILDA8NVBzMlByeIKBaHFw
      SU1RO0BEUV5kQkxWLTpLMk9vM1BucoCBOEdONE9fMU1nKkdnK0ppLEtqLElpK0ppKEZoJkRmI0RlJ0ZlKUhnKEdmKEdm
      JEdnJkVkKUhn
      """
    ),
    (
      "n02098286_West_Highland_white_terrier.JPEG", 384, 288,
      """
      np2suLG6wrbAgHuCYWBlU1JQTktE5+n17Oz2297wZ26ABAIDBAIDT0xBsrO3rLW8qrK7BwIGFgIAkGk4Q0AysrW/////
      /v7+mpqXjmI1jF8oTTUcLk3RrKyk0M+rwr2UcDcoaUAUNSoZPSwgz8SXubSKgGZHMgIBTiMBgBIBEgoDgnJQbFc8SAoE
      PgEAdAoDhxQC
      """
    ),
    (
      "n02687172_aircraft_carrier.JPEG", 384, 288,
      """
      ZH+2ZoG4XnyzXX60a4S1eIu3gJO9n6bDn6bDi57EkKDBjJ2+kaHAj5+/maTBmaTCmKS9jJ2+h5y/iJ3Bfpa4ipu6i5y6
      Z3KFjZy5jZ68i5y6iZa2VmV3cHaMFx0rOkJShY2iU1x5eISiL01lIDlDHzlBJklgK0pfLE5pJkhjJ0VfME5qKEZiLk1h
      OFd0KEplL09q
      """
    ),
    (
      "n03538406_horse_cart.JPEG", 384, 288,
      """
      obXQNUMom6CKgph4h5dvRlMvU2dTSF5G+//+YHdG+Pmy7dW9OUYta3ldi4BtlZVur5R3foRJsKiKvq6Nbm9LWEA27/Dp
      Tk9Rsri3Q1tbQCsrudDgTzsrQkhKZEowPDAhWzwxOiAWExQWGhkVXWJeGxgTmJWUHRoYpKSmoqKkDxASP0NEU1VVfXNp
      IBcRjpGYnJ+m
      """
    ),
    (
      "n04252225_snowplow.JPEG", 432, 288,
      """
      BhkVFysiGyolKjQ2KTQ2JzY6JTY9FSQkGCcrJDMpNT84Ji4wISwuHy41RlVZGSggJS8vTFNwQz1VHyMoKDc7JDEoLDc4
      MjhDMSk8nFxZj4uhp7DOt8Ddu8Lev15Wn0AmVjs5DRcmmJufwMHXlpWjZ2ZzJSQsHxwip6e08PP4t7K8u7rE6+Ti9/f5
      9PP59fX35+jt
      """
    ),
  ]
}
