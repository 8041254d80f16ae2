"""Adversarially learned inference (Dumoulin et al., ICLR 2017)."""

from genzoo import hookimpl, lazy


@hookimpl
def genzoo_models() -> list[lazy]:
    """Return ALI, its conditional, deterministic and cyclic forms, and encoders trained beside or after a decoder."""
    return [
        lazy("ali", "genzoo_ali.ali:ALI", "adversarially learned inference: a GAN with an encoder, on (x, z)"),
        lazy("conditional-ali", "genzoo_ali.conditional:ConditionalALI", "ALI given classes or attributes"),
        lazy("bigan", "genzoo_ali.bigan:BiGAN", "ALI with a deterministic encoder"),
        lazy("alice", "genzoo_ali.alice:ALICE", "ALI whose reconstructions must be close: with an explicit cycle"),
        lazy("alice-implicit", "genzoo_ali.alice:ImplicitALICE", "ALI with critics of pairs (x, x̂) and (z, ẑ)"),
        lazy(
            "joint-latent-regressor",
            "genzoo_ali.joint_latent_regressor:JointLatentRegressor",
            "a GAN, and an encoder that recovers z from samples and sees no data",
        ),
        lazy(
            "post-hoc-ali",
            "genzoo_ali.inference_after:PostHocALI",
            "ALI's encoder for the frozen decoder of a run (--from)",
        ),
        lazy(
            "inverse-mapping",
            "genzoo_ali.inference_after:InverseMapping",
            "an encoder that recovers z, for the frozen decoder of a run (--from)",
        ),
    ]
