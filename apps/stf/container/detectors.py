"""The subdetectors of ePIC as the simulation knows them.

The number of a row is the `detector` byte of a hit and never changes; new detectors get new numbers. Channel
counts are rounded design values (pixel detectors: groups of 16 pixels). Weights say how the hits of a TF are
shared out; they follow the rates expected after zero suppression and filtering only roughly.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Detector:
    """One subdetector and how its hits look.

    `noise_percent` of its hits are noise: ADC values around `pedestal` (`noise_width`), any time. The others
    come from collisions: ADC values around `peak` (`peak_width`, with a tail above), in time with a filled
    bunch, `delay` ns after the crossing. ADC values end at `2 ** adc_bits - 1`.
    """

    number: int
    name: str
    group: str
    channels: int
    weight: int
    noise_percent: int
    adc_bits: int
    pedestal: int
    noise_width: int
    peak: int
    peak_width: int
    delay: int


DETECTORS: tuple[Detector, ...] = (
    #         name            group           channels  weight  %  bits  ped   w  peak    w  delay
    Detector(0, "SVT_IB", "tracking", 60_000_000, 900, 35, 8, 6, 2, 40, 12, 1),
    Detector(1, "SVT_OB", "tracking", 400_000_000, 750, 35, 8, 6, 2, 38, 12, 2),
    Detector(2, "SVT_EE", "tracking", 350_000_000, 550, 30, 8, 6, 2, 42, 12, 3),
    Detector(3, "SVT_HE", "tracking", 350_000_000, 650, 30, 8, 6, 2, 42, 12, 3),
    Detector(4, "MPGD_IB", "tracking", 30_720, 250, 20, 12, 250, 18, 900, 260, 3),
    Detector(5, "MPGD_OB", "tracking", 102_400, 300, 20, 12, 250, 18, 860, 250, 4),
    Detector(6, "MPGD_EE", "tracking", 16_384, 160, 20, 12, 250, 18, 880, 250, 4),
    Detector(7, "MPGD_HE", "tracking", 16_384, 200, 20, 12, 250, 18, 880, 250, 4),
    Detector(8, "BTOF", "pid", 2_359_296, 500, 15, 8, 12, 3, 90, 24, 4),
    Detector(9, "FTOF", "pid", 5_570_560, 600, 15, 8, 12, 3, 95, 25, 6),
    Detector(10, "dRICH", "pid", 319_488, 1500, 75, 10, 60, 9, 240, 45, 7),
    Detector(11, "pfRICH", "pid", 69_632, 400, 25, 12, 150, 20, 700, 160, 5),
    Detector(12, "hpDIRC", "pid", 73_728, 450, 25, 12, 150, 20, 680, 150, 6),
    Detector(13, "BIC_AstroPix", "ecal", 31_250_000, 450, 25, 10, 30, 6, 180, 60, 4),
    Detector(14, "BIC_SciFi", "ecal", 5_760, 350, 30, 14, 400, 30, 2600, 700, 5),
    Detector(15, "EEEMCal", "ecal", 2_852, 450, 25, 14, 300, 25, 3400, 800, 6),
    Detector(16, "FEMC", "ecal", 15_360, 500, 25, 14, 350, 28, 3000, 850, 7),
    Detector(17, "BHCAL", "hcal", 7_680, 120, 40, 14, 380, 32, 1400, 420, 7),
    Detector(18, "nHCAL", "hcal", 3_256, 90, 40, 14, 380, 32, 1300, 400, 7),
    Detector(19, "LFHCAL", "hcal", 63_280, 420, 35, 14, 360, 30, 1800, 520, 8),
    Detector(20, "HCAL_insert", "hcal", 8_192, 160, 35, 14, 360, 30, 1900, 560, 8),
    Detector(21, "B0_tracker", "far_forward", 20_000_000, 120, 25, 8, 10, 3, 85, 22, 5),
    Detector(22, "B0_EMCal", "far_forward", 135, 40, 30, 14, 300, 25, 3200, 800, 6),
    Detector(23, "RomanPots", "far_forward", 1_048_576, 60, 20, 8, 12, 3, 92, 24, 6),
    Detector(24, "OffMomentum", "far_forward", 655_360, 40, 20, 8, 12, 3, 92, 24, 6),
    Detector(25, "ZDC_ECal", "far_forward", 400, 35, 30, 14, 310, 26, 4200, 1000, 7),
    Detector(26, "ZDC_HCal", "far_forward", 9_216, 55, 35, 14, 360, 30, 2100, 600, 8),
    Detector(27, "LowQ2_tagger_1", "far_backward", 4_000_000, 140, 20, 10, 20, 4, 120, 35, 5),
    Detector(28, "LowQ2_tagger_2", "far_backward", 4_000_000, 110, 20, 10, 20, 4, 120, 35, 5),
    Detector(29, "Lumi_pair_tracker", "far_backward", 5_000_000, 150, 20, 10, 20, 4, 118, 35, 6),
    Detector(30, "Lumi_pair_calo", "far_backward", 1_425, 90, 30, 14, 320, 26, 3600, 900, 7),
    Detector(31, "Lumi_direct", "far_backward", 100, 60, 30, 14, 320, 26, 5200, 1300, 7),
)
BY_NAME: dict[str, Detector] = {detector.name: detector for detector in DETECTORS}
